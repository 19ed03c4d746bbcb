"""Lung masks of batches: unpacks the bits of the records into numbers that a training can average."""

import numpy as np
import tensorflow as tf

from tfrecords_builder.records import num_packed_bytes

_BITS_OF_BYTE = 2 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.int8) - 1
"""The eight pixels of each byte, the highest bit first: 1 in a lung, -1 outside. Shape (256, 8)."""


def unpack(packed: tf.Tensor, known: tf.Tensor, side: int) -> tf.Tensor:
    """Unpacks the masks of a batch.

    Args:
        packed: uint8 (batch, num_packed_bytes(side)), as of `numpy.packbits`; anything where unknown.
        known: bool (batch,), whether the record has a mask.
        side: side of the masks, in pixels.

    Returns:
        int8 (batch, side, side, 1): 1 in a lung, -1 outside, 0 in images without a mask.
    """
    pixels = tf.reshape(
        tf.gather(tf.constant(_BITS_OF_BYTE), tf.cast(packed, tf.int32)), (-1, 8 * packed.shape[1])
    )
    masks = tf.reshape(pixels[:, : side * side], (-1, side, side, 1))
    return masks * tf.cast(known, tf.int8)[:, None, None, None]


def from_features(lungs: tf.Tensor, side: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Turns the feature `lungs` of a batch into what `unpack` takes.

    Args:
        lungs: string (batch,): packed masks, empty where unknown.
        side: side of the masks, in pixels.

    Returns:
        packed uint8 (batch, num_packed_bytes(side)), zeros where unknown, and known bool (batch,).
    """
    packed = tf.io.decode_raw(lungs, tf.uint8, fixed_length=num_packed_bytes(side))
    return packed, tf.strings.length(lungs) > 0
