"""Reads the pixels of a BMP in the graph; `headers/bmp.py` describes what it reads.

TensorFlow's own decoder takes the indices of a palette for gray, and refuses files with bytes after the
pixels.
"""

import tensorflow as tf

from tfrecords_builder.decoding.graph.calls import rarely_called
from tfrecords_builder.decoding.graph.pixels import luma
from tfrecords_builder.decoding.graph.text import bytes_at, is_size_allowed, length, numbers_at, require
from tfrecords_builder.decoding.headers import bmp as header

_FIRST_FIELD, _NUM_FIELDS = 2, 13  # after "BM"; of 4 bytes each, one of them two fields of 2 bytes


@rarely_called
def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a BMP.

    Args:
        encoded: scalar string tensor.

    Returns:
        uint8 tensor (height, width, 1).
    """
    size = length(encoded, tf.int64)
    fields = tf.unstack(tf.cast(numbers_at(encoded, _FIRST_FIELD, _NUM_FIELDS), tf.int64))
    pixels, header_bytes, width, signed_height, bits, compression = fields[2:8]
    num_colors = fields[11]
    height, bits = tf.abs(signed_height), bits // (1 << 16)  # below them is the number of planes
    channels = bits // 8
    row_bytes = (width * channels + 3) // 4 * 4
    is_read = (
        (size >= header.FIXED_BYTES)
        & _is_kind_read(encoded, header_bytes, bits, compression)
        & is_size_allowed(width, height)
        & (pixels >= 0)
        & (pixels + row_bytes * height <= size)
    )
    problem = "the BMP is cut off, of a kind that is not read, or larger than the limit"
    with tf.control_dependencies([require(is_read, problem)]):
        stored = tf.strings.substr(encoded, pixels, row_bytes * height)
    rows = tf.reshape(tf.io.decode_raw(stored, tf.uint8), (height, row_bytes))[:, : width * channels]
    samples = tf.reshape(rows, (height, width, channels))
    gray = tf.cond(
        tf.equal(channels, 1),
        lambda: tf.gather(_palette(encoded, header_bytes, num_colors), tf.cast(samples, tf.int32)),
        lambda: luma(tf.ensure_shape(samples[..., 2::-1], (None, None, 3))),
    )
    is_bottom_up = tf.stack([signed_height > 0, False, False])
    return tf.raw_ops.Reverse(tensor=gray, dims=is_bottom_up)


def _is_kind_read(
    encoded: tf.Tensor, header_bytes: tf.Tensor, bits: tf.Tensor, compression: tf.Tensor
) -> tf.Tensor:
    """Whether `headers.bmp.read` reads this kind of BMP, bool ()."""
    masks = bytes_at(encoded, header.FIXED_BYTES, len(header.MASKS))
    has_usual_masks = tf.equal(bits, 32) & tf.reduce_all(tf.equal(masks, list(header.MASKS)))
    is_plain = tf.equal(compression, header.UNCOMPRESSED)
    return (
        (header_bytes >= header.HEADER_BYTES[0])
        & (header_bytes <= header.HEADER_BYTES[1])
        & tf.reduce_any(tf.equal(bits, header.BITS))
        & (is_plain | (tf.equal(compression, header.BIT_MASKS) & has_usual_masks))
    )


def _palette(encoded: tf.Tensor, header_bytes: tf.Tensor, num_colors: tf.Tensor) -> tf.Tensor:
    """The gray of each index, uint8 (PALETTE_COLORS,); 0 for indices after the end of the palette."""
    says_fewer = (num_colors > 0) & (num_colors < header.PALETTE_COLORS)
    num_colors = tf.where(says_fewer, num_colors, header.PALETTE_COLORS)
    stored = bytes_at(encoded, header.FILE_HEADER_BYTES + header_bytes, 4 * header.PALETTE_COLORS)
    colors = tf.reshape(tf.cast(stored, tf.uint8), (1, header.PALETTE_COLORS, 4))
    gray = luma(colors[..., 2::-1])[0, :, 0]
    return tf.where(tf.range(header.PALETTE_COLORS, dtype=tf.int64) < num_colors, gray, 0)
