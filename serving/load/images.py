"""The images that are sent: synthetic radiographs of several sizes, or files."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tfrecords_builder.errors import UserError
from tfrecords_builder.synthetic_xray import draw

JPEG_QUALITY = 80  # gives 1300x950 about 100 kB, as the files of the public dataset have
IMAGES = 64
"""Different images that are sent in turn."""

_SIZE = re.compile(r"(\d+)x(\d+)(?::(\d+))?")
_LIMITS = (32, 8192)  # pixels of a side


@dataclasses.dataclass(frozen=True)
class Size:
    """A size and its share of the mix."""

    width: int
    height: int
    share: int = 1

    @classmethod
    def parse(cls, text: str) -> "Size":
        """From WIDTHxHEIGHT or WIDTHxHEIGHT:SHARE.

        Raises:
            ValueError: for anything else.
        """
        found = _SIZE.fullmatch(text)
        width, height, share = (int(number or 1) for number in found.groups()) if found else (0, 0, 0)
        if share < 1 or not all(_LIMITS[0] <= side <= _LIMITS[1] for side in (width, height)):
            raise ValueError(
                f"sizes must be WIDTHxHEIGHT or WIDTHxHEIGHT:SHARE, sides {_LIMITS[0]} to {_LIMITS[1]}. "
                f"Received: {text!r}"
            )
        return cls(width, height, share)


def drawn(sizes: Sequence[Size], seed: int = 0) -> list[bytes]:
    """Synthetic radiographs as JPEG, sizes mixed by their shares."""
    generator = np.random.default_rng(seed)
    turns = [size for size in sizes for _ in range(size.share)]
    patterns = [  # few, as drawing is slow
        draw(generator, number % 2, viral=False, mean_height=950, contrast=0.3, marker_strength=0.0)[0]
        for number in range(4)
    ]
    return [
        _encoded(patterns[position % len(patterns)], turns[position % len(turns)], generator)
        for position in range(max(IMAGES, len(turns)))
    ]


def from_folder(folder: str) -> list[bytes]:
    """The files of a folder of images.

    Raises:
        UserError: if there are none.
    """
    found = sorted(
        path for path in Path(folder).rglob("*") if path.suffix.lower() in (".jpeg", ".jpg", ".png")
    )
    if not found:
        raise UserError(f"no JPEG or PNG files in {folder!r}")
    return [path.read_bytes() for path in found[:: max(1, len(found) // IMAGES)]]


def _encoded(picture: NDArray[np.uint8], size: Size, generator: np.random.Generator) -> bytes:
    resized = cv2.resize(picture, (size.width, size.height), interpolation=cv2.INTER_AREA)
    noisy = resized + generator.normal(0, 2, resized.shape)  # film grain: without it, files are too small
    content = cv2.imencode(
        ".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )[1]
    return content.tobytes()
