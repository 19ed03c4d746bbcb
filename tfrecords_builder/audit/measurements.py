"""Measures one image file."""

import dataclasses
import hashlib

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tfrecords_builder.decoding import UnreadableImage, decode
from tfrecords_builder.source.images import SourceImage, image_path, read_image

HASH_SIDE = 16
"""Side of the perceptual hash. The usual 8 cannot distinguish chests (measured: docs/performance.md)."""
HASH_BITS = HASH_SIDE * HASH_SIDE

THUMBNAIL_SIDE = 24  # pixels

_GRID = 32  # cells per side, for comparing the corners with the middle
_CORNER = 3  # cells per side
_MIDDLE = slice(13, 19)  # columns of spine, heart and mediastinum


@dataclasses.dataclass(frozen=True)
class Measurements:
    """What was measured of one readable image."""

    image: SourceImage
    sha256: str
    """Digest of the file, in hexadecimal."""
    width: int
    """Width in pixels."""
    height: int
    """Height in pixels."""
    mean_grey: float
    """Mean gray level, 0 to 255."""
    deviation: float
    """Standard deviation of the gray levels."""
    corner_excess: float
    """Mean gray level of the corners minus that of the middle, -255 to 255."""
    perceptual_hash: bytes
    """HASH_BITS bits, few of which differ between images that look alike."""
    thumbnail: bytes
    """The image squashed to THUMBNAIL_SIDE * THUMBNAIL_SIDE gray pixels, row by row."""

    @property
    def aspect_ratio(self) -> float:
        """Width divided by height."""
        return self.width / self.height


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """One file that cannot be read as an image."""

    image: SourceImage
    reason: str


def measure(folder: str, image: SourceImage) -> Measurements | Unreadable:
    """Reads and measures one image of a source folder."""
    try:
        encoded = read_image(image_path(folder, image.source))
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
        thumbnail=cv2.resize(pixels, (THUMBNAIL_SIDE,) * 2, interpolation=cv2.INTER_AREA).tobytes(),
    )


def perceptual_hash(pixels: NDArray[np.uint8]) -> bytes:
    """The DCT hash ("pHash", https://www.hackerfactor.com/blog/?/archives/432-Looks-Like-It.html).

    Args:
        pixels: uint8 array (height, width).

    Returns:
        HASH_BITS / 8 bytes.
    """
    bits = imagehash.phash(Image.fromarray(pixels), hash_size=HASH_SIDE).hash
    return np.packbits(bits).tobytes()


def corner_excess(pixels: NDArray[np.uint8]) -> float:
    """How much brighter the four corners are than the columns in the middle.

    In a frontal chest X-ray, spine and heart make the middle bright, while air, shoulders and abdomen make
    the corners darker. In a negative it is the other way round (measured: docs/performance.md).

    Args:
        pixels: uint8 array (height, width).

    Returns:
        Gray levels, -255 to 255; negative for a usual X-ray.
    """
    grid = cv2.resize(pixels, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    ends = np.r_[0:_CORNER, _GRID - _CORNER : _GRID]
    return float(grid[np.ix_(ends, ends)].mean() - grid[:, _MIDDLE].mean())
