"""Numbers out of the bytes of a file, which is a scalar string tensor, and conditions that it must meet."""

import tensorflow as tf

from tfrecords_builder.decoding.formats import MAX_PIXELS, MAX_SIDE


def bytes_at(text: tf.Tensor, position: tf.Tensor | int, count: int) -> tf.Tensor:
    """The bytes from a position on as int32 (count,), with zeros after the end of the text."""
    return tf.cast(tf.io.decode_raw(_part(text, position, count), tf.uint8, fixed_length=count), tf.int32)


def numbers_at(
    text: tf.Tensor, position: tf.Tensor | int, count: int, *, little_endian: bool = True
) -> tf.Tensor:
    """Numbers of four bytes with a sign as int32 (count,), with zeros after the end of the text."""
    part = _part(text, position, 4 * count)
    return tf.io.decode_raw(part, tf.int32, little_endian=little_endian, fixed_length=4 * count)


def _part(text: tf.Tensor, position: tf.Tensor | int, count: int) -> tf.Tensor:
    position = tf.convert_to_tensor(position)
    inside = tf.minimum(position, length(text, position.dtype))  # substr quotes the text in its error
    return tf.strings.substr(text, inside, tf.constant(count, position.dtype))


def length(text: tf.Tensor, dtype: tf.DType = tf.int32) -> tf.Tensor:
    """Number of bytes of a text."""
    return tf.cast(tf.strings.length(text), dtype)


def starts_with(text: tf.Tensor, beginnings: tuple[bytes, ...]) -> tf.Tensor:
    """Whether a text starts with one of some bytes of equal length, bool ()."""
    return tf.reduce_any(tf.equal(tf.strings.substr(text, 0, len(beginnings[0])), beginnings))


def require(condition: tf.Tensor, message: str) -> tf.Operation:
    """An operation that fails with a message unless the condition holds."""
    return tf.raw_ops.Assert(condition=condition, data=[message])


def is_size_allowed(width: tf.Tensor, height: tf.Tensor) -> tf.Tensor:
    """Whether `headers.header.check_size` allows a claimed size, bool ()."""
    is_each_allowed = (tf.minimum(width, height) > 0) & (tf.maximum(width, height) <= MAX_SIDE)
    return is_each_allowed & (tf.cast(width, tf.int64) * tf.cast(height, tf.int64) <= MAX_PIXELS)
