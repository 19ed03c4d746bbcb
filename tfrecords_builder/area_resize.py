"""Resizes an image by area with TensorFlow operations, as exactly as OpenCV does.

`tf.image.resize(method="area")` computes the edges of its cells in float32. An edge that is a hundred
thousandth of a pixel off changes a pixel by up to 0.003 gray levels, which rounds some pixels to another one.
Here edges are whole numbers: with an axis of `size` pixels and `side` cells, the unit of length is 1 / side
of a pixel, so that a pixel is `side` units long and a cell `size` units. Only the last division rounds.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def resize_by_area(image: "tf.Tensor", side: int) -> "tf.Tensor":
    """Averages an image over the cells of a square grid.

    Args:
        image: uint8 (height, width), 0 to 255.
        side: height and width of the result, in pixels.

    Returns:
        float64 (side, side), 0 to 255.
    """
    import tensorflow as tf

    height, width = tf.unstack(tf.shape(image, out_type=tf.int64))
    # The sums of rows are whole numbers below 2 ** 24, which float32 holds exactly.
    rows = _sums_of_rows(tf.cast(image, tf.float32), height, side)
    columns = _sums_of_rows(tf.transpose(tf.cast(rows, tf.float64)), width, side)
    return tf.transpose(columns) / tf.cast(height * width, tf.float64)


def _sums_of_rows(image: "tf.Tensor", size: "tf.Tensor", side: int) -> "tf.Tensor":
    """Sums each column over the cells of the other axis, in units of 1 / side of a pixel.

    Args:
        image: (size, columns).
        size: number of rows, a scalar int64.
        side: number of cells.

    Returns:
        (side, columns), of the image's dtype.
    """
    import tensorflow as tf

    cells = tf.constant(side, tf.int64)
    return tf.cond(
        size >= cells,
        lambda: _sums_of_smaller_pixels(image, size, cells),
        lambda: _sums_of_larger_pixels(image, size, cells),
    )


def _sums_of_smaller_pixels(image: "tf.Tensor", size: "tf.Tensor", cells: "tf.Tensor") -> "tf.Tensor":
    """Adds whole pixels to the cells they begin in, and moves what lies beyond the edge to the next cell."""
    import tensorflow as tf

    begins_in = tf.range(size) * cells // size
    whole = tf.math.segment_sum(image, begins_in)
    edges = tf.range(1, cells) * size
    pixels = edges // cells
    beyond = (pixels + 1) * cells - edges
    beyond = tf.where(
        beyond < cells, beyond, 0
    )  # a pixel that begins at the edge is in the next cell already
    moved = tf.gather(image, pixels) * tf.cast(beyond, image.dtype)[:, None]
    nothing = tf.zeros_like(image[:1])
    received, given = tf.concat([nothing, moved], 0), tf.concat([moved, nothing], 0)
    return tf.cast(cells, image.dtype) * whole + received - given


def _sums_of_larger_pixels(image: "tf.Tensor", size: "tf.Tensor", cells: "tf.Tensor") -> "tf.Tensor":
    """Weights each pixel with its overlap with each cell. Such an image is small."""
    import tensorflow as tf

    begin_of_cell, begin_of_pixel = tf.range(cells)[:, None] * size, tf.range(size) * cells
    end = tf.minimum(begin_of_cell + size, begin_of_pixel + cells)
    overlaps = tf.maximum(end - tf.maximum(begin_of_cell, begin_of_pixel), 0)
    return tf.linalg.matmul(tf.cast(overlaps, image.dtype), image)
