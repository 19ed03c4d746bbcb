"""Gray out of colors, and upright images, as uint8 (height, width, 1)."""

from typing import NamedTuple

import tensorflow as tf

from tfrecords_builder.decoding import exif
from tfrecords_builder.decoding.graph.calls import rarely_called
from tfrecords_builder.decoding.scaling import LUMA, LUMA_SHIFT, PIXELS_AT_A_TIME


class DecodedInGraph(NamedTuple):
    """What `reduction.Decoded` says of an image, as tensors."""

    pixels: tf.Tensor
    """uint8 (height, width, 1), 0 to 255."""
    is_reduced: tf.Tensor
    """bool ()."""


@rarely_called
def luma(rgb: tf.Tensor) -> tf.Tensor:
    """Turns colors into their luma, equal to the bit to cv2.cvtColor.

    Args:
        rgb: uint8 or uint16 (height, width, 3).

    Returns:
        (height, width, 1) of the same type.
    """
    shape = tf.shape(rgb)
    num_rows = tf.maximum(1, PIXELS_AT_A_TIME // shape[1])
    num_blocks = (shape[0] + num_rows - 1) // num_rows
    blocks = tf.TensorArray(rgb.dtype, num_blocks, infer_shape=False, element_shape=(None, None, 1))

    def compute(number: tf.Tensor, blocks: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        rows = tf.cast(rgb[number * num_rows : (number + 1) * num_rows], tf.int32)
        weighted = tf.reduce_sum(rows * LUMA, axis=-1, keepdims=True) + (1 << LUMA_SHIFT - 1)
        return number + 1, blocks.write(number, tf.cast(weighted // (1 << LUMA_SHIFT), rgb.dtype))

    _, blocks = tf.while_loop(
        lambda number, _: number < num_blocks, compute, (0, blocks), parallel_iterations=1
    )
    return blocks.concat()


_ORIENTATIONS = range(exif.UPRIGHT, exif.LARGEST + 1)
_AXES = [(1, 0, 2) if orientation in exif.TRANSPOSED else (0, 1, 2) for orientation in _ORIENTATIONS]
_REVERSED = [
    (orientation in exif.ROWS_REVERSED, orientation in exif.COLUMNS_REVERSED, False)
    for orientation in _ORIENTATIONS
]


@rarely_called
def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Rotates and mirrors an image (height, width, 1) as an EXIF orientation says."""
    number = orientation - exif.UPRIGHT
    transposed = tf.transpose(image, tf.gather(_AXES, number))
    reversed_ = tf.raw_ops.Reverse(tensor=transposed, dims=tf.gather(_REVERSED, number))
    return tf.ensure_shape(reversed_, (None, None, 1))
