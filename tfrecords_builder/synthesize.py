"""`python -m tfrecords_builder.synthesize SOURCE`: draws a `chest_xray/` folder of synthetic radiographs.

They are no anatomy, but they have what the pipeline must cope with: lungs, ribs, spine and heart, exposures
that differ, pneumonias as soft opacities in the lungs whose boxes are known, and side markers at the border
that go with the class as strongly as an option says.
"""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray

from tfrecords_builder.cli.command import run
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.errors import UserError
from tfrecords_builder.records import CLASS_NAMES, PNEUMONIA, SPLITS, Split

LESIONS = "lesions.json"
JPEG_QUALITY = 90
MARKER_REACH = 0.06
"""Markers lie in this outermost fraction of the width and height."""

Picture = NDArray[np.float32]
Box = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True)
class SynthesizeConfig:
    """Draws synthetic chest X-rays in chest_xray/{train,val,test}/{NORMAL,PNEUMONIA} with known lesions.

    Raises:
        ValueError: for settings that draw no dataset.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """Folder to draw into; lesions.json there has the boxes (x, y, width, height in pixels) by image."""
    train_images: int = 300
    """Images of each class in train."""
    val_images: int = 8
    """Images of each class in val, which has 16 in the public dataset."""
    test_images: int = 80
    """Images of each class in test."""
    height: int = 280
    """Mean height of the images, in pixels; they differ by a tenth, and are a little wider than high."""
    marker: float = 0.0
    """How strongly the side of the border marker tells the class in train and val: 0 not at all, 1 always,
    -1 always the wrong way."""
    test_marker: float | None = None
    """The same for test; by default as in train."""
    contrast: float = 0.22
    """Mean strength of the opacities, as a fraction of the full range: the less, the harder."""
    seed: int = 0
    overwrite: bool = False
    """Replace a folder that is there already."""

    def __post_init__(self) -> None:
        if min(self.train_images, self.val_images, self.test_images) < 1:
            raise ValueError(
                "train_images, val_images and test_images must be at least 1. "
                f"Received: {self.train_images}, {self.val_images}, {self.test_images}"
            )
        if self.height < 64:  # noqa: PLR2004 - below, ribs and markers are no longer drawn
            raise ValueError(f"height must be at least 64 pixels. Received: {self.height}")
        if abs(self.marker) > 1 or abs(self.test_marker or 0) > 1:
            raise ValueError(f"markers must be -1 to 1. Received: {self.marker}, {self.test_marker}")
        if not 0 < self.contrast < 1:
            raise ValueError(f"contrast must be above 0 and below 1. Received: {self.contrast}")


def synthesize(config: SynthesizeConfig) -> None:
    """Draws the folder; it appears when it is whole.

    Raises:
        UserError: if the folder is there already.
    """
    target = Path(config.source)
    if target.exists() and any(target.iterdir()) and not config.overwrite:
        raise UserError(
            f"{config.source!r} is not empty: choose another folder, or replace it with --overwrite"
        )
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    counts = {"train": config.train_images, "val": config.val_images, "test": config.test_images}
    jobs = [(split, label, n) for split in SPLITS for label in (0, 1) for n in range(counts[split])]
    lesions: dict[str, list[Box]] = {}
    for split, label, number in progress(jobs, len(jobs), "drawing"):
        generator = np.random.default_rng((config.seed, SPLITS.index(split), label, number))
        name = _file_name(split, label, number)
        marker_strength = config.marker
        if split == "test" and config.test_marker is not None:
            marker_strength = config.test_marker
        picture, boxes = draw(
            generator,
            label,
            viral="virus" in name,
            mean_height=config.height,
            contrast=config.contrast,
            marker_strength=marker_strength,
        )
        path = unfinished / split / CLASS_NAMES[label] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if boxes:
            lesions[path.relative_to(unfinished).as_posix()] = boxes
    (unfinished / LESIONS).write_text(json.dumps(lesions, indent=1) + "\n", encoding="ascii")
    if target.exists():
        shutil.rmtree(target)
    unfinished.rename(target)


def _file_name(split: Split, label: int, number: int) -> str:
    """As in the public dataset: every third patient has two images, two of three pneumonias are bacterial."""
    patient = 1 + number - (number % 3 == 1)
    first = {"train": 0, "val": 3000, "test": 6000}[split]
    if label == PNEUMONIA:
        subtype = "virus" if patient % 3 == 0 else "bacteria"
        return f"person{first + patient}_{subtype}_{number + 1}.jpeg"
    return f"IM-{first + patient:04d}-{number + 1:04d}.jpeg"


def draw(
    generator: np.random.Generator,
    label: int,
    *,
    viral: bool,
    mean_height: int,
    contrast: float,
    marker_strength: float,
) -> tuple[NDArray[np.uint8], list[Box]]:
    """Draws one radiograph.

    Args:
        generator: of all that is random.
        label: 0 NORMAL, 1 PNEUMONIA.
        viral: whether a pneumonia is several patches in both lungs rather than one large one.
        mean_height: in pixels.
        contrast: mean strength of an opacity, as a fraction of the full range.
        marker_strength: -1 to 1.

    Returns:
        uint8 (height, width), and the boxes (x, y, width, height) of the opacities, in pixels.
    """
    height = round(mean_height * generator.uniform(0.9, 1.1))
    width = round(height * generator.uniform(1.1, 1.35))
    picture, lungs = _chest(generator, height, width)
    boxes = []
    if label == PNEUMONIA:
        patches = generator.integers(3, 6) if viral else 1
        for _ in range(patches):
            radius = generator.uniform(0.05, 0.08) if viral else generator.uniform(0.10, 0.16)
            strength = contrast * generator.uniform(0.6, 1.4)
            opacity, box = _opacity(generator, lungs, radius * width)
            picture += strength * opacity
            boxes.append(box)
    picture = _exposed(generator, picture)
    on_the_right = generator.uniform() < (1 + marker_strength * (1 if label == PNEUMONIA else -1)) / 2
    _draw_marker(picture, right=on_the_right)
    return np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8), boxes


def _chest(generator: np.random.Generator, height: int, width: int) -> tuple[Picture, Picture]:
    """Soft tissue, lungs, bones and heart, 0 to 1, and the mask of the lungs, 0 to 1."""
    middle = width * generator.uniform(0.47, 0.53)
    body = _ellipse(height, width, (middle, 0.62 * height), (0.48 * width, 0.66 * height), blur=0.03)
    spread = generator.uniform(0.19, 0.22) * width
    size = (generator.uniform(0.125, 0.15) * width, generator.uniform(0.30, 0.36) * height)
    centre_y = generator.uniform(0.46, 0.52) * height
    left = _ellipse(height, width, (middle - spread, centre_y), size, blur=0.015)
    right = _ellipse(height, width, (middle + spread, centre_y), size, blur=0.015)
    heart_size = (generator.uniform(0.10, 0.14) * width, generator.uniform(0.15, 0.2) * height)
    heart = _ellipse(height, width, (middle + 0.07 * width, 0.64 * height), heart_size, blur=0.02)
    lungs = np.clip(left + right, 0, 1) * (1 - 0.85 * heart)
    spine = _ellipse(height, width, (middle, 0.5 * height), (0.035 * width, 0.7 * height), blur=0.012)
    picture = 0.06 + 0.5 * body - 0.33 * lungs + 0.12 * heart + 0.16 * spine * body
    picture += 0.07 * _ribs(generator, height, width, middle) * body
    coarse = cv2.resize(
        generator.normal(0, 1, (9, 11)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    vessels = cv2.GaussianBlur(generator.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 2.0)
    picture += 0.025 * coarse * body + 0.10 * vessels * lungs
    return picture.astype(np.float32), lungs


def _ellipse(
    height: int, width: int, centre: tuple[float, float], axes: tuple[float, float], blur: float
) -> Picture:
    """A filled ellipse, 1 inside and 0 outside, with an edge as soft as `blur` times the width."""
    mask = np.zeros((height, width), np.float32)
    cv2.ellipse(mask, (centre, (2 * axes[0], 2 * axes[1]), 0.0), 1.0, thickness=-1)
    return cv2.GaussianBlur(mask, (0, 0), blur * width)  # type: ignore[return-value]


def _ribs(generator: np.random.Generator, height: int, width: int, middle: float) -> Picture:
    """Arcs that fall from the spine to the sides."""
    ribs = np.zeros((height, width), np.float32)
    tilt = generator.uniform(10, 18)
    thickness = max(2, round(0.016 * height))
    for top in np.linspace(0.12, 0.8, 9) * height:
        for side in (-1, 1):
            centre = (round(middle + side * 0.2 * width), round(top + 0.09 * height))
            axes = (round(0.22 * width), round(0.10 * height))
            cv2.ellipse(ribs, centre, axes, side * tilt, 180, 360, 1.0, thickness, cv2.LINE_AA)
    return cv2.GaussianBlur(ribs, (0, 0), 0.005 * width)  # type: ignore[return-value]


def _opacity(generator: np.random.Generator, lungs: Picture, radius: float) -> tuple[Picture, Box]:
    """A soft patch inside the lungs, 0 to 1, and its box."""
    height, width = lungs.shape
    rows, columns = np.nonzero(lungs > 0.8)  # noqa: PLR2004 - well inside
    chosen = generator.integers(len(rows))
    axes = radius * generator.uniform(0.7, 1.3, 2)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    distance = ((x - columns[chosen]) / axes[0]) ** 2 + ((y - rows[chosen]) / axes[1]) ** 2
    cloud = cv2.GaussianBlur(generator.normal(0, 1, lungs.shape).astype(np.float32), (0, 0), radius / 4)
    cloud = 1 + 0.35 * cloud / max(float(cloud.std()), 1e-6)
    patch = np.exp(-distance) * np.clip(cloud, 0.2, 2) * lungs
    patch = (patch / patch.max()).astype(np.float32)
    x0, y0, box_width, box_height = cv2.boundingRect((patch > 0.25).astype(np.uint8))  # noqa: PLR2004 - visible
    return patch, (x0, y0, box_width, box_height)


def _exposed(generator: np.random.Generator, picture: Picture) -> Picture:
    """Gamma, contrast, brightness and noise, as machines and operators differ."""
    gamma = np.exp(generator.uniform(-0.25, 0.25))
    exposed = np.clip(picture, 0, 1) ** gamma * generator.uniform(0.85, 1.15) + generator.uniform(-0.05, 0.08)
    noise = generator.normal(0, generator.uniform(0.01, 0.03), picture.shape)
    return np.asarray(exposed + noise, dtype=np.float32)


def _draw_marker(picture: Picture, *, right: bool) -> None:
    """A bright tag in one of the upper corners, within MARKER_REACH of the border."""
    height, width = picture.shape
    tag_height, tag_width = int(MARKER_REACH * height), int(MARKER_REACH * width)
    left = width - tag_width if right else 0
    picture[1:tag_height, left + 1 : left + tag_width - 1] = 0.97


def main(config: SynthesizeConfig) -> None:
    """Draws and says where."""
    synthesize(config)
    print(config.source)  # noqa: T201


if __name__ == "__main__":
    run(main, SynthesizeConfig, "python -m tfrecords_builder.synthesize")
