"""At which fraction of its size a JPEG is decoded.

Much of a large image is averaged away when it becomes a small one. libjpeg can decode a JPEG at 1/2, 1/4 or
1/8 of its size, from fewer coefficients of each block of 8x8 pixels, which takes less time. libjpeg-turbo
(OpenCV, simplejpeg) and TensorFlow decode the same pixels then; a test holds that.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FACTORS = (2, 4, 8)
"""By how much libjpeg divides height and width, besides 1."""


class Decoded(NamedTuple):
    """The gray pixels of an image file, upright."""

    pixels: NDArray[np.uint8]
    """(height, width), 0 to 255: of the whole image, or smaller."""
    height: int
    """Height of the whole image, in pixels."""
    width: int
    """Width of the whole image, in pixels."""

    @classmethod
    def whole(cls, pixels: NDArray[np.uint8]) -> "Decoded":
        """An image that was decoded whole."""
        return cls(pixels, *pixels.shape)

    @property
    def is_reduced(self) -> bool:
        """Whether the pixels are those of a smaller image."""
        return self.pixels.shape != (self.height, self.width)


def reduction(height: int, width: int, smallest_side: int | None) -> int:
    """The largest factor that leaves both sides of an image long enough; `graph/jpeg.py` does the same.

    Args:
        height: height of the whole image, in pixels.
        width: width of the whole image, in pixels.
        smallest_side: what must be left of each side, in pixels; None if the image is decoded whole.

    Returns:
        1 or one of FACTORS. A side of the decoded image is that of the whole one divided by it, rounded up.
    """
    if smallest_side is None:
        return 1
    return max([1, *(factor for factor in FACTORS if min(height, width) >= factor * smallest_side)])
