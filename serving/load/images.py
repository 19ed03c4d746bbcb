"""The image files that are sent: synthetic radiographs of several sizes, or the files of a folder."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from serving.client.images import find_images
from serving.load.sizes import Size
from tfrecords_builder.decoding import UnreadableImage
from tfrecords_builder.decoding.formats import FORMATS, expected
from tfrecords_builder.errors import UserError
from tfrecords_builder.source.images import read_image
from tfrecords_builder.synthetic_xray import draw

NUM_IMAGES = 64
"""Number of different images; each request has others, until they repeat."""
JPEG_QUALITY = 80
"""Quality at which an image of 1300x950 pixels has 136 to 171 kB, about as in the public dataset."""

_NUM_DRAWINGS = 4  # few, since drawing is slow


def draw_images(sizes: Sequence[Size], seed: int = 0) -> list[bytes]:
    """Draws synthetic radiographs.

    Args:
        sizes: the sizes, mixed by their shares.
        seed: seed for the drawings and their noise.

    Returns:
        JPEG files.
    """
    generator = np.random.default_rng(seed)
    mixed = [size for size in sizes for _ in range(size.share)]
    drawings = [
        draw(generator, number % 2, viral=False, mean_height=950, contrast=0.3, marker_strength=0.0)[0]
        for number in range(_NUM_DRAWINGS)
    ]
    return [
        _encode(drawings[position % len(drawings)], mixed[position % len(mixed)], generator)
        for position in range(max(NUM_IMAGES, len(mixed)))
    ]


def read_folder(folder: str) -> list[bytes]:
    """Reads image files of a folder: all of them, or at least NUM_IMAGES that are spread evenly over it.

    Raises:
        UserError: if there is no such folder, or no image file in it, or one that is not a regular file.
        OSError: if a file cannot be read.
    """
    found = find_images([folder]) if Path(folder).is_dir() else []
    if not found:
        raise UserError(f"no {expected(FORMATS)} file in {folder!r}")
    return [_read(file) for file in found[:: max(1, len(found) // NUM_IMAGES)]]


def _read(file: str) -> bytes:
    try:
        return read_image(file)
    except UnreadableImage as error:
        raise UserError(f"cannot send {file!r}: {error}") from None


def _encode(drawing: NDArray[np.uint8], size: Size, generator: np.random.Generator) -> bytes:
    resized = cv2.resize(drawing, (size.width, size.height), interpolation=cv2.INTER_AREA)
    noisy = resized + generator.normal(0, 2, resized.shape)  # without film grain, files are too small
    content = cv2.imencode(
        ".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )[1]
    return content.tobytes()
