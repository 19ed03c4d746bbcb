"""Runs a file through both decoders."""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfrecords_builder.decoding import UnreadableImage, decode_in_graph, decode_reduced


@functools.cache
def _graph(smallest_side: int | None) -> Callable:
    """The graph's decoder of images whose sides stay at least so long."""
    return tf.function(
        lambda encoded: decode_in_graph(encoded, smallest_side=smallest_side),
        input_signature=[tf.TensorSpec([], tf.string)],
    )


def in_builder(encoded: bytes, smallest_side: int | None = None) -> np.ndarray | str:
    """The pixels, or why the file is refused."""
    try:
        return decode_reduced(encoded, smallest_side=smallest_side).pixels
    except UnreadableImage as error:
        return str(error)


def in_graph(encoded: bytes, smallest_side: int | None = None) -> np.ndarray | None:
    """The pixels, or None if the file is refused."""
    try:
        return _graph(smallest_side)(tf.constant(encoded)).pixels.numpy()[..., 0]
    except tf.errors.OpError:
        return None


def in_both(encoded: bytes, smallest_side: int | None = None) -> np.ndarray | str:
    """The pixels, or why the file is refused; both decoders must agree."""
    ours, theirs = in_builder(encoded, smallest_side), in_graph(encoded, smallest_side)
    if isinstance(ours, str):
        assert theirs is None, f"only the graph reads it, the builder says: {ours}"
        assert "\n" not in ours
        return ours
    assert theirs is not None, "only the builder reads it"
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    return ours
