"""`python -m tfrecords_builder.synthesize SOURCE`: draws a `chest_xray/` folder of synthetic chest X-rays."""

import dataclasses
import json
import os
import re
import struct
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray

from tfrecords_builder import ownership, storage
from tfrecords_builder.cli.command import run
from tfrecords_builder.cli.options import optional
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.errors import UserError
from tfrecords_builder.ownership import OwnedFiles
from tfrecords_builder.records import CLASS_NAMES, PNEUMONIA, SPLITS, Split
from tfrecords_builder.source import lung_masks
from tfrecords_builder.synthetic_xray import Box, draw

LESIONS = "lesions.json"
JPEG_QUALITY = 90
COMMENT = b"drawn by tfrecords_builder.synthesize"
"""Comment in every image. Their names do not tell them from those of the public dataset."""

FILES = OwnedFiles(
    "a folder of synthetic X-rays",
    {
        r"lesions\.json": rb'^\{\s*"(train|val|test)/PNEUMONIA/',
        r"(train|val|test)/(NORMAL|PNEUMONIA)/[^/]+\.jpeg": re.escape(COMMENT),
        rf"{lung_masks.FOLDER}/(train|val|test)/(NORMAL|PNEUMONIA)/[^/]+\.png": ownership.PNG_SIGNATURE,
    },
)


@dataclasses.dataclass(frozen=True)
class SynthesizeConfig:
    """Draws synthetic X-rays with known lesions; writes into SOURCE/{train,val,test}/{NORMAL,PNEUMONIA}.

    Raises:
        ValueError: if a setting is out of range.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """Folder to write into. Its lesions.json lists the boxes of the lesions of each image: left, top, width
    and height in pixels. Its folder lungs/ holds a mask of the lungs of each image."""
    train_images: int = 300
    """Number of images of each class in train."""
    val_images: int = 8
    """Number of images of each class in val; the public dataset also has 8."""
    test_images: int = 80
    """Number of images of each class in test."""
    height: int = 280
    """Mean height of the images, in pixels. The height of each differs from it by up to a tenth. Images are a
    little wider than high."""
    marker: float = 0.0
    """How much the bright marker in an upper corner gives the class away in train and val. 0: nothing. 1: it
    is always on the right for PNEUMONIA and on the left for NORMAL. -1: always the other way round."""
    test_marker: Annotated[float | None, optional("FLOAT")] = None
    """The same for test; by default the value of --marker."""
    contrast: float = 0.22
    """Mean brightness that a lesion adds, as a fraction of the range from black to white. Images with a lower
    contrast are harder to classify."""
    seed: int = 0
    """Seed for everything that is drawn."""
    overwrite: bool = False
    """Replace the images that this command wrote into SOURCE before."""

    def __post_init__(self) -> None:
        if min(self.train_images, self.val_images, self.test_images) < 1:
            raise ValueError(
                "train_images, val_images and test_images must be at least 1. "
                f"Received: {self.train_images}, {self.val_images}, {self.test_images}"
            )
        if self.height < 64:  # noqa: PLR2004 - in smaller images, ribs and markers vanish
            raise ValueError(f"height must be at least 64 pixels. Received: {self.height}")
        if abs(self.marker) > 1 or abs(self.test_marker or 0) > 1:
            raise ValueError(
                f"marker and test_marker must be -1 to 1. Received: {self.marker}, {self.test_marker}"
            )
        if not 0 < self.contrast < 1:
            raise ValueError(f"contrast must be above 0 and below 1. Received: {self.contrast}")


def synthesize(config: SynthesizeConfig) -> None:
    """Draws the folder. It appears only when it is complete.

    Raises:
        UserError: if the folder has files that were not drawn here, or that are not to be replaced.
    """
    target = os.path.abspath(config.source)  # noqa: PTH100 - Path.resolve would follow a link
    unfinished = f"{target}.unfinished"
    for folder in (config.source, unfinished):
        ownership.refuse_unknown_files(folder, FILES)
    if not config.overwrite and any(ownership.files_below(target)):
        raise UserError(
            f"{config.source!r} is drawn already: choose another folder, or replace it with --overwrite"
        )
    ownership.delete_owned(unfinished, FILES)
    lesions = _draw_images(config, Path(unfinished))
    storage.write(storage.join(unfinished, LESIONS), json.dumps(lesions, indent=1) + "\n")
    ownership.delete_owned(target, FILES)
    storage.remove_empty_folder(target)
    if not os.path.lexists(target):
        Path(unfinished).rename(target)
        return
    ownership.move_owned(unfinished, FILES, target)  # into a link, or beside files of the operating system
    storage.remove_empty_folder(unfinished)


def _draw_images(config: SynthesizeConfig, folder: Path) -> dict[str, list[Box]]:
    """Draws all images into a folder; returns the boxes of the lesions by image."""
    counts = {"train": config.train_images, "val": config.val_images, "test": config.test_images}
    images = [(split, label, n) for split in SPLITS for label in (0, 1) for n in range(counts[split])]
    lesions: dict[str, list[Box]] = {}
    for split, label, number in progress(images, len(images), "drawing"):
        name = _file_name(split, label, number)
        picture, boxes, lungs = draw(
            np.random.default_rng((config.seed, SPLITS.index(split), label, number)),
            label,
            viral="virus" in name,
            mean_height=config.height,
            contrast=config.contrast,
            marker_strength=_marker_strength(config, split),
        )
        path = folder / split / CLASS_NAMES[label] / name
        source = path.relative_to(folder).as_posix()
        storage.write(str(path), _to_jpeg(picture))
        storage.write(lung_masks.mask_path(str(folder / lung_masks.FOLDER), source), _to_png(lungs))
        if boxes:
            lesions[source] = boxes
    return lesions


def _to_jpeg(picture: NDArray[np.uint8]) -> bytes:
    """Encodes an image, with COMMENT behind its first segment (the JFIF header)."""
    encoded = cv2.imencode(".jpeg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    (length,) = struct.unpack_from(">H", encoded, 4)  # behind the start of the image and the segment's marker
    end = 4 + length
    return encoded[:end] + b"\xff\xfe" + struct.pack(">H", 2 + len(COMMENT)) + COMMENT + encoded[end:]


def _to_png(mask: NDArray[np.bool_]) -> bytes:
    """Encodes a mask with one bit per pixel."""
    gray = np.where(mask, 255, 0).astype(np.uint8)
    return ownership.sign_png(cv2.imencode(".png", gray, [cv2.IMWRITE_PNG_BILEVEL, 1])[1].tobytes())


def _marker_strength(config: SynthesizeConfig, split: Split) -> float:
    if split == "test" and config.test_marker is not None:
        return config.test_marker
    return config.marker


def _file_name(split: Split, label: int, number: int) -> str:
    """Names an image as in the public dataset.

    Every third patient has two images, and two thirds of the pneumonias are bacterial.
    """
    patient = 1 + number - (number % 3 == 1)
    first = {"train": 0, "val": 3000, "test": 6000}[split]
    if label == PNEUMONIA:
        subtype = "virus" if patient % 3 == 0 else "bacteria"
        return f"person{first + patient}_{subtype}_{number + 1}.jpeg"
    return f"IM-{first + patient:04d}-{number + 1:04d}.jpeg"


def main(config: SynthesizeConfig) -> None:
    """Draws the folder and prints its path."""
    synthesize(config)
    print(config.source)  # noqa: T201


if __name__ == "__main__":
    run(main, SynthesizeConfig, "python -m tfrecords_builder.synthesize")
