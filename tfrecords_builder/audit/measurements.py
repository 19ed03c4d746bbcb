"""What the audit measures of one image file."""

import dataclasses
import hashlib
from pathlib import Path

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tfrecords_builder.decoding import UnreadableImage, decode
from tfrecords_builder.source.images import SourceImage

HASH_SIDE = 16
"""The usual 8 (64 bits) does not tell one chest from another: of 5,482 different X-rays of the Kermany set,
183 pairs differ in 4 bits or fewer."""
HASH_BITS = HASH_SIDE * HASH_SIDE

_GRID = 32  # cells a side, in which corners and middle are compared
_CORNER = 3  # cells a side
_MIDDLE = slice(13, 19)  # columns where spine, heart and mediastinum are


@dataclasses.dataclass(frozen=True)
class Measurements:
    """One readable image."""

    image: SourceImage
    sha256: str
    """Of the file, in hexadecimal."""
    width: int
    """In pixels, like the height."""
    height: int
    mean_grey: float
    """0 to 255."""
    deviation: float
    """Standard deviation of the grey levels."""
    corner_excess: float
    """Mean grey of the corners less that of the middle, -255 to 255."""
    perceptual_hash: bytes
    """HASH_BITS bits, which differ in few places between images that look alike."""

    @property
    def aspect_ratio(self) -> float:
        """Width divided by height."""
        return self.width / self.height


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """One file that is no image."""

    image: SourceImage
    reason: str


def measure(folder: str, image: SourceImage) -> Measurements | Unreadable:
    """Reads and measures one image of a source folder."""
    try:
        encoded = (Path(folder) / image.source).read_bytes()
        pixels = decode(encoded)
    except OSError as error:
        return Unreadable(image, f"cannot be read: {error.strerror}")
    except UnreadableImage as error:
        return Unreadable(image, str(error))
    height, width = pixels.shape
    return Measurements(
        image=image,
        sha256=hashlib.sha256(encoded).hexdigest(),
        width=width,
        height=height,
        mean_grey=float(pixels.mean()),
        deviation=float(pixels.std()),
        corner_excess=corner_excess(pixels),
        perceptual_hash=perceptual_hash(pixels),
    )


def perceptual_hash(pixels: NDArray[np.uint8]) -> bytes:
    """The DCT hash ("pHash", https://www.hackerfactor.com/blog/?/archives/432-Looks-Like-It.html).

    Args:
        pixels: uint8 (height, width).

    Returns:
        HASH_BITS / 8 bytes.
    """
    bits = imagehash.phash(Image.fromarray(pixels), hash_size=HASH_SIDE).hash
    return np.packbits(bits).tobytes()


def corner_excess(pixels: NDArray[np.uint8]) -> float:
    """How much brighter the four corners are than the columns in the middle.

    The middle of a frontal chest X-ray is spine and heart, which are bright; its corners are air, shoulders
    and abdomen, which together are darker. In a negative it is the other way round: of the 5,541 X-rays this
    was tried on, every one is below -10, so that every negative is above 10.

    Args:
        pixels: uint8 (height, width).

    Returns:
        Grey levels, -255 to 255; negative for a usual X-ray.
    """
    grid = cv2.resize(pixels, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    ends = np.r_[0:_CORNER, _GRID - _CORNER : _GRID]
    return float(grid[np.ix_(ends, ends)].mean() - grid[:, _MIDDLE].mean())
