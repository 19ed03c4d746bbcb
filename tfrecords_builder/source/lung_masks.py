"""Finds and reads lung masks, which lie below a folder of their own as the images do below theirs."""

import os
from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from tfrecords_builder.decoding import UnreadableImage
from tfrecords_builder.preprocessing import Preprocessing
from tfrecords_builder.source.images import SUFFIXES, SourceImage, image_path, read_image

FOLDER = "lungs"
"""Folder of a synthetic source that holds the masks of its images."""
_SMALLEST_LUNG = 128
"""Gray level, 0 to 255, from which a pixel of a mask is lung."""


def mask_path(folder: str, source: str) -> str:
    """The path of the mask of an image, whether there is one or not.

    `.png` takes the place of the suffix of an image. It follows the whole name of a DICOM file without one:
    1.2.840.7 and 1.2.840.8 are two images.
    """
    path = PurePosixPath(source.lstrip("/"))
    stem = path.stem if path.name.lower().endswith(SUFFIXES) else path.name
    return image_path(folder, str(path.with_name(f"{stem}.png")))


def count_masks(folder: str, images: Iterable[SourceImage]) -> int:
    """How many of these images have a mask."""
    return sum(os.path.lexists(mask_path(folder, image.source)) for image in images)


def read_mask(path: str, preprocessing: Preprocessing) -> NDArray[np.bool_] | None:
    """Reads a mask, and crops and resizes it as its image.

    Args:
        path: path of the mask, a gray image of any size.
        preprocessing: the preprocessing of the images.

    Returns:
        bool (side, side), true in the lungs; None if there is no such file.

    Raises:
        UnreadableImage: if the file cannot be read or is no image; the message names it.
    """
    if not os.path.lexists(path):
        return None
    try:
        gray = preprocessing.apply(read_image(path))
        if 0 < gray.max() < _SMALLEST_LUNG:
            raise UnreadableImage(
                f"its brightest pixel is {gray.max()}, but lungs are drawn in {_SMALLEST_LUNG} to 255"
            )
        return gray >= _SMALLEST_LUNG
    except (OSError, UnreadableImage) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnreadableImage(f"its lung mask {path!r} cannot be read: {reason}") from None
