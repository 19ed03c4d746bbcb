"""Runs a file through both decoders."""

import numpy as np
import tensorflow as tf

from tfrecords_builder.decoding import UnreadableImage, decode, decode_in_graph

_decode_in_graph = tf.function(decode_in_graph, input_signature=[tf.TensorSpec([], tf.string)])


def in_builder(encoded: bytes) -> np.ndarray | str:
    """The pixels, or why the file is refused."""
    try:
        return decode(encoded)
    except UnreadableImage as error:
        return str(error)


def in_graph(encoded: bytes) -> np.ndarray | None:
    """The pixels, or None if the file is refused."""
    try:
        return _decode_in_graph(tf.constant(encoded)).pixels.numpy()[..., 0]
    except tf.errors.OpError:
        return None


def in_both(encoded: bytes) -> np.ndarray | str:
    """The pixels, or why the file is refused; both decoders must agree."""
    ours, theirs = in_builder(encoded), in_graph(encoded)
    if isinstance(ours, str):
        assert theirs is None, f"only the graph reads it, the builder says: {ours}"
        assert "\n" not in ours
        return ours
    assert theirs is not None, "only the builder reads it"
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    return ours
