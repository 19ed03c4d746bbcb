"""Chooses the decoder of an image file by its first bytes."""

import tensorflow as tf

from tfrecords_builder.decoding.formats import FORMATS, MAGIC, expected
from tfrecords_builder.decoding.graph import bmp, gif, jpeg, png
from tfrecords_builder.decoding.graph.calls import rarely_called
from tfrecords_builder.decoding.graph.pixels import DecodedInGraph
from tfrecords_builder.decoding.graph.text import require, starts_with
from tfrecords_builder.decoding.scaling import SixteenBits


def decode(
    encoded: tf.Tensor, sixteen_bits: SixteenBits = "range", smallest_side: int | None = None
) -> DecodedInGraph:
    """Decodes an image file to gray.

    Args:
        encoded: scalar string tensor, a JPEG, PNG, BMP or GIF file.
        sixteen_bits: how samples of 16 bits become 8.
        smallest_side: as of `reduction.reduction`.

    Returns:
        The image, and whether it is smaller than the whole one.
    """
    return tf.cond(
        starts_with(encoded, MAGIC["JPEG"]),
        lambda: jpeg.decode(encoded, smallest_side),
        lambda: DecodedInGraph(_decode_other(encoded, sixteen_bits), tf.constant(False)),
    )


@rarely_called
def _decode_other(encoded: tf.Tensor, sixteen_bits: SixteenBits) -> tf.Tensor:
    decoders = {
        "PNG": lambda: png.decode(encoded, sixteen_bits),
        "BMP": lambda: bmp.decode(encoded),
        "GIF": lambda: gif.decode(encoded),
    }
    is_one = tf.stack([*(starts_with(encoded, MAGIC[name]) for name in decoders), True])
    return tf.switch_case(tf.argmax(is_one, output_type=tf.int32), [*decoders.values(), _refuse])


def _refuse() -> tf.Tensor:
    with tf.control_dependencies([require(tf.constant(False), f"not a {expected(FORMATS)} image")]):
        return tf.zeros((1, 1, 1), tf.uint8)
