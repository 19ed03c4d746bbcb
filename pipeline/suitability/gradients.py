"""Histograms of gradients: what shapes an image has where, without any training.

The features of a classifier ignore what says nothing about its classes, such as how large a chest is in its
film. These do not, so that they tell an adult's film from a child's. Source: Dalal and Triggs, "Histograms of
Oriented Gradients for Human Detection", CVPR 2005; here without overlapping blocks, and as logarithms.
"""

import math
from typing import Any

from keras import ops

CELLS = 6
"""An image has CELLS x CELLS cells, each with its own histogram."""
DIRECTIONS = 8
"""A histogram has so many directions, of half a turn together: a gradient counts as its opposite does."""
DESCRIBED_SIDE = 96
"""Images of at least twice this side, in pixels, are shrunk by the largest whole number that leaves it."""

_SMALLEST_DEVIATION = 1.0  # gray level; added to the deviation of an image, which is 0 for a blank one
_SMALLEST_STRENGTH = 1e-3  # added to every number of a histogram, as its logarithm is taken


def gradient_histograms(images: Any) -> Any:
    """Computes the histograms of a batch, on any Keras backend.

    Args:
        images: (batch, side, side, 1), any numeric dtype, 0 to 255; the side is at least 16 pixels.

    Returns:
        float32 (batch, CELLS * CELLS * DIRECTIONS): the logarithm of the mean strength of the gradients of
        each cell and direction, in standard deviations of the image a pixel.
    """
    gray = _shrunk(ops.cast(images, "float32"))
    deviation = ops.std(gray, axis=(1, 2, 3), keepdims=True)
    gray = gray / (deviation + _SMALLEST_DEVIATION)
    padded = ops.pad(gray[..., 0], ((0, 0), (1, 1), (1, 1)), mode="reflect")
    across = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    turn = ops.arctan2(down, across) / math.pi  # -1 to 1, in half turns
    direction = ops.cast(ops.floor(turn * DIRECTIONS), "int32") % DIRECTIONS
    strength = ops.sqrt(across**2 + down**2)
    by_direction = ops.one_hot(direction, DIRECTIONS, dtype="float32") * strength[..., None]
    cell = by_direction.shape[1] // CELLS
    whole = CELLS * cell
    start = (by_direction.shape[1] - whole) // 2
    inner = by_direction[:, start : start + whole, start : start + whole]
    # Keras 3.15 takes wrong strides on JAX if it is left to choose them.
    means = ops.average_pool(inner, cell, strides=cell, data_format="channels_last")
    return ops.reshape(ops.log(means + _SMALLEST_STRENGTH), (-1, CELLS * CELLS * DIRECTIONS))


def _shrunk(images: Any) -> Any:
    factor = images.shape[1] // DESCRIBED_SIDE
    if factor < 2:  # noqa: PLR2004
        return images
    return ops.average_pool(images, factor, strides=factor, data_format="channels_last")
