"""How colors, and samples of 16 bits, become gray levels of 8; `graph/` does the same in TensorFlow."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LUMA = (9798, 19235, 3735)
"""Weights of red, green and blue in ITU-R BT.601 luma, in 15-bit fixed point: those of cv2.cvtColor."""
LUMA_SHIFT = 15

SixteenBits = Literal["range", "high_byte"]
"""Rules for images with 16 bits per sample.

- `range`: the darkest pixel becomes 0 and the brightest 255, so an image keeps its gray levels even if it
  uses only 12 of the 16 bits. An image of one level is black.
- `high_byte`: the low byte is dropped. Records that were built before there was a choice follow this rule.
"""


PIXELS_AT_A_TIME = 1 << 20
"""About how many pixels are computed at a time where each needs many bytes: it bounds the memory."""


def blocks_of_rows(shape: tuple[int, ...]) -> Iterator[slice]:
    """Divides the rows of an image (height, width) into blocks of about PIXELS_AT_A_TIME."""
    height, width = shape
    num_rows = max(1, PIXELS_AT_A_TIME // width)
    for first in range(0, height, num_rows):
        yield slice(first, first + num_rows)


def spread(levels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Spreads the range of an image over 0 to 255.

    Args:
        levels: uint16 array (height, width).

    Returns:
        uint8 array (height, width).
    """
    darkest, brightest = int(levels.min()), int(levels.max())
    steps = max(brightest - darkest, 1)
    table = np.zeros(brightest + 1, np.uint8)  # the gray of every level: there are fewer levels than pixels
    table[darkest:] = (np.arange(brightest - darkest + 1) * 255 + steps // 2) // steps
    gray = np.empty(levels.shape, np.uint8)
    for rows in blocks_of_rows(levels.shape):
        gray[rows] = table[levels[rows]]
    return gray
