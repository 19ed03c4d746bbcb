"""`python -m tfrecords_builder.synthesize SOURCE`: draws a `chest_xray/` folder of synthetic chest X-rays."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import tyro

from tfrecords_builder.cli.command import run
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.errors import UserError
from tfrecords_builder.records import CLASS_NAMES, PNEUMONIA, SPLITS, Split
from tfrecords_builder.synthetic_xray import Box, draw

LESIONS = "lesions.json"
JPEG_QUALITY = 90


@dataclasses.dataclass(frozen=True)
class SynthesizeConfig:
    """Draws synthetic chest X-rays with known lesions into chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}.

    Raises:
        ValueError: if a setting is out of range.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """Folder to draw into. Its lesions.json lists the boxes of the lesions (x, y, width, height in pixels) by
    image."""
    train_images: int = 300
    """Number of images of each class in train."""
    val_images: int = 8
    """Number of images of each class in val; the public dataset also has 8."""
    test_images: int = 80
    """Number of images of each class in test."""
    height: int = 280
    """Mean height of the images, in pixels. Heights differ by up to a tenth; widths are a little larger."""
    marker: float = 0.0
    """How strongly the side of the border marker depends on the class in train and val: 0 not at all; 1:
    always on the right for PNEUMONIA and on the left for NORMAL; -1: always the other way round."""
    test_marker: float | None = None
    """The same for test; by default as in train."""
    contrast: float = 0.22
    """Mean brightness that a lesion adds, as a fraction of the full range. Lower is harder to classify."""
    seed: int = 0
    """Seed for everything that is drawn."""
    overwrite: bool = False
    """Replace a folder that exists already."""

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
        UserError: if the folder has files already, and they are not to be replaced.
    """
    target = Path(config.source)
    if target.exists() and any(target.iterdir()) and not config.overwrite:
        raise UserError(
            f"{config.source!r} is not empty: choose another folder, or replace it with --overwrite"
        )
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    lesions = _draw_images(config, unfinished)
    (unfinished / LESIONS).write_text(json.dumps(lesions, indent=1) + "\n", encoding="ascii")
    if target.exists():
        shutil.rmtree(target)
    unfinished.rename(target)


def _draw_images(config: SynthesizeConfig, folder: Path) -> dict[str, list[Box]]:
    """Draws all images into a folder; returns the boxes of the lesions by image."""
    counts = {"train": config.train_images, "val": config.val_images, "test": config.test_images}
    images = [(split, label, n) for split in SPLITS for label in (0, 1) for n in range(counts[split])]
    lesions: dict[str, list[Box]] = {}
    for split, label, number in progress(images, len(images), "drawing"):
        name = _file_name(split, label, number)
        picture, boxes = draw(
            np.random.default_rng((config.seed, SPLITS.index(split), label, number)),
            label,
            viral="virus" in name,
            mean_height=config.height,
            contrast=config.contrast,
            marker_strength=_marker_strength(config, split),
        )
        path = folder / split / CLASS_NAMES[label] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if boxes:
            lesions[path.relative_to(folder).as_posix()] = boxes
    return lesions


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
