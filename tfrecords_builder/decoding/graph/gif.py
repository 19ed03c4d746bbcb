"""Decodes the first image of a GIF in the graph; `headers/gif.py` describes its blocks.

TensorFlow's decoder decodes every image of an animation, and of an image that ends too early it returns
memory that nobody wrote. So it is given another GIF: the first image, alone on its canvas, and after it an
image of one pixel, which is decoded only if the first one was decoded to its end.
"""

from typing import NamedTuple

import tensorflow as tf

from tfrecords_builder.decoding.graph.calls import rarely_called
from tfrecords_builder.decoding.graph.pixels import luma
from tfrecords_builder.decoding.graph.text import bytes_at, is_size_allowed, length, require
from tfrecords_builder.decoding.headers import gif as header

MAX_STEPS = 4096
"""Most blocks, and runs of up to RUN parts of equal size, that are read. It bounds the work."""
RUN = 256

_LARGEST_PART = 256  # bytes, with the byte that says the size
_NO_OFFSET = bytes(4)
_END_OF_PARTS, _END = b"\0", b";"
# Descriptor, table of two colors, and the codes clear, 0 and end of 3 bits each.
_ONE_PIXEL = b",\0\0\0\0\1\0\1\0\x80" + bytes(6) + b"\2\2\x44\1\0"

# What the next byte is the first of:
_BLOCK, _PART_OF_EXTENSION, _PART_OF_IMAGE, _FINISHED, _DAMAGED = range(5)


@rarely_called
def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes the first image of a GIF.

    Args:
        encoded: scalar string tensor.

    Returns:
        uint8 tensor (height, width, 1).
    """
    flags = bytes_at(encoded, header.FLAGS_POSITION, 1)[0]
    first_block = header.SCREEN_BYTES + _table_bytes(flags)
    found = _find_first_image(encoded, first_block)
    size = tf.unstack(bytes_at(encoded, found.image + header.SIZE_POSITION, 4))
    is_allowed = is_size_allowed(size[0] + 256 * size[1], size[2] + 256 * size[3])
    problem = "the GIF has no whole image, or one larger than the limit"
    with tf.control_dependencies([require(tf.equal(found.stage, _FINISHED) & is_allowed, problem)]):
        images = tf.io.decode_gif(_with_first_image_only(encoded, first_block, found))
    with tf.control_dependencies([require(tf.equal(tf.shape(images)[0], 2), "the GIF's image is cut off")]):
        return luma(images[0])


class _Search(NamedTuple):
    """How far the blocks were read, as int32 scalars."""

    step: tf.Tensor
    position: tf.Tensor
    stage: tf.Tensor
    image: tf.Tensor
    """Position of the descriptor of the first image."""


def _find_first_image(encoded: tf.Tensor, first_block: tf.Tensor) -> _Search:
    """Reads blocks up to the end of the first image: `position` is then that of the empty part at its end."""
    zero, size = tf.constant(0), length(encoded)

    def has_more(found: _Search) -> tf.Tensor:
        return (found.step < MAX_STEPS) & (found.position < size) & (found.stage < _FINISHED)

    def read(found: _Search) -> tuple[_Search]:
        ahead = bytes_at(encoded, found.position, RUN * _LARGEST_PART)
        is_block = tf.equal(found.stage, _BLOCK)
        block_bytes, block_stage = _read_block(ahead[: header.DESCRIPTOR_BYTES])
        parts_bytes, parts_stage = _read_parts(ahead, found.stage)
        return (
            _Search(
                step=found.step + 1,
                position=found.position + tf.where(is_block, block_bytes, parts_bytes),
                stage=tf.where(is_block, block_stage, parts_stage),
                image=tf.where(is_block, found.position, found.image),
            ),
        )

    start = _Search(zero, first_block, tf.constant(_BLOCK), zero)
    return tf.while_loop(has_more, read, (start,), parallel_iterations=1)[0]


def _read_block(head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the bytes of a block before its parts, and what follows."""
    is_extension, is_image = tf.equal(head[0], header.EXTENSION), tf.equal(head[0], header.IMAGE)
    to_pixels = header.DESCRIPTOR_BYTES + _table_bytes(head[9]) + 1  # and the size of the first codes
    stage = tf.where(is_extension, _PART_OF_EXTENSION, tf.where(is_image, _PART_OF_IMAGE, _DAMAGED))
    return tf.where(is_extension, 2, to_pixels), stage


def _read_parts(ahead: tf.Tensor, stage: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the bytes of parts of equal size, up to RUN of them, and what follows."""
    size = ahead[0]
    is_other = tf.concat([tf.not_equal(ahead[:: size + 1][:RUN], size), [True]], axis=0)
    num_parts = tf.argmax(is_other, output_type=tf.int32)
    is_end, is_extension = tf.equal(size, 0), tf.equal(stage, _PART_OF_EXTENSION)
    end_bytes, after = tf.where(is_extension, 1, 0), tf.where(is_extension, _BLOCK, _FINISHED)
    return tf.where(is_end, end_bytes, num_parts * (size + 1)), tf.where(is_end, after, stage)


def _table_bytes(flags: tf.Tensor) -> tf.Tensor:
    """Does what `headers.gif.table_bytes` does."""
    return tf.gather([header.table_bytes(flags) for flags in range(256)], flags)


def _with_first_image_only(encoded: tf.Tensor, first_block: tf.Tensor, found: _Search) -> tf.Tensor:
    size = found.image + header.SIZE_POSITION
    return tf.strings.join(
        [
            b"GIF89a",
            tf.strings.substr(encoded, size, 4),
            tf.strings.substr(encoded, header.FLAGS_POSITION, first_block - header.FLAGS_POSITION),
            bytes([header.IMAGE]) + _NO_OFFSET,
            tf.strings.substr(encoded, size, found.position - size),
            _END_OF_PARTS,
            _ONE_PIXEL,
            _END,
        ]
    )
