"""Boxes around lesions, drawn as masks of the prepared images."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tfrecords_builder.preprocessing import Preprocessing

Box = Sequence[float]
"""Left, top, width and height in pixels of the original image."""

_INSIDE = 255
_HALF = 128


def draw_boxes(
    shape: tuple[int, ...], boxes: Iterable[Box], preprocessing: Preprocessing
) -> NDArray[np.bool_]:
    """Draws boxes, cropped and resized as the image is.

    Args:
        shape: height and width of the original image in pixels.
        boxes: what to draw; parts outside the image are left out.
        preprocessing: that of the image.

    Returns:
        bool (side, side), true where a box covers at least half of a pixel.
    """
    drawn = np.zeros(shape, np.uint8)
    for left, top, width, height in boxes:
        rows = slice(max(round(top), 0), max(round(top + height), 0))
        columns = slice(max(round(left), 0), max(round(left + width), 0))
        drawn[rows, columns] = _INSIDE
    return preprocessing.crop_and_resize(drawn) >= _HALF
