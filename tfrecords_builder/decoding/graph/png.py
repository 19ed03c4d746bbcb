"""Decodes a PNG in the graph."""

import tensorflow as tf

from tfrecords_builder.decoding.graph.calls import rarely_called
from tfrecords_builder.decoding.graph.pixels import luma
from tfrecords_builder.decoding.graph.text import bytes_at, is_size_allowed, numbers_at, require
from tfrecords_builder.decoding.headers import png as header
from tfrecords_builder.decoding.scaling import SixteenBits


@rarely_called
def decode(encoded: tf.Tensor, sixteen_bits: SixteenBits = "range") -> tf.Tensor:
    """Decodes a PNG.

    Args:
        encoded: scalar string tensor.
        sixteen_bits: how samples of 16 bits become 8.

    Returns:
        uint8 tensor (height, width, 1).
    """
    position = header.FIRST_POSITION
    chunk_bytes, name, width, height = tf.unstack(numbers_at(encoded, position, 4, little_endian=False))
    bits, color_type = tf.unstack(bytes_at(encoded, position + 16, 2))
    is_first_chunk = tf.equal(chunk_bytes, header.FIRST_CHUNK_BYTES) & tf.equal(
        name, int.from_bytes(header.FIRST_CHUNK, "big")
    )
    is_gray = tf.reduce_any(tf.equal(color_type, header.GRAY_TYPES))
    problem = "the PNG does not begin with the chunk IHDR, or is larger than the limit"
    with tf.control_dependencies([require(is_first_chunk & is_size_allowed(width, height), problem)]):
        encoded = tf.identity(encoded)
        if sixteen_bits == "high_byte":
            return _pixels(encoded, is_gray, tf.uint8)
        return tf.cond(
            tf.equal(bits, header.LARGEST_BIT_DEPTH),
            lambda: _spread(_pixels(encoded, is_gray, tf.uint16)),
            lambda: _pixels(encoded, is_gray, tf.uint8),
        )


def _pixels(encoded: tf.Tensor, is_gray: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    return tf.cond(
        is_gray,
        lambda: tf.io.decode_png(encoded, channels=1, dtype=dtype),
        lambda: luma(tf.io.decode_png(encoded, channels=3, dtype=dtype)),
    )


def _spread(levels: tf.Tensor) -> tf.Tensor:
    """Does what `scaling.spread` does, for uint16 (height, width, 1)."""
    darkest, brightest = (tf.cast(reduce(levels), tf.int32) for reduce in (tf.reduce_min, tf.reduce_max))
    steps = tf.maximum(brightest - darkest, 1)
    table = ((tf.range(1 << header.LARGEST_BIT_DEPTH) - darkest) * 255 + steps // 2) // steps
    return tf.gather(tf.cast(table, tf.uint8), tf.cast(levels, tf.int32))
