"""Which epochs each iteration of a dataset holds."""

import itertools

import tensorflow as tf

from pipeline.input.exit_safe_function import ExitSafeFunction


def epoch_numbers(first_epoch: int, epochs: int | None, *, advance: bool) -> tf.data.Dataset:
    """The numbers of the epochs of an iteration.

    Args:
        first_epoch: number of the first epoch of the first iteration.
        epochs: number of epochs per iteration; None for no end.
        advance: if true, iteration k (counted from 0) holds the epochs from `first_epoch + k * epochs` on.
            An iteration is counted when its first element is asked for. If false, or if `epochs` is None,
            every iteration begins at `first_epoch`.

    Returns:
        Dataset of int64 ().
    """
    if epochs is None:
        return tf.data.Dataset.range(first_epoch, tf.int64.max)
    if not advance:
        return tf.data.Dataset.range(first_epoch, first_epoch + epochs)

    def numbers(iteration: tf.Tensor) -> tf.data.Dataset:
        begin = first_epoch + iteration * epochs
        return tf.data.Dataset.range(begin, begin + epochs)

    return _count_this_iteration().flat_map(numbers)


def _count_this_iteration() -> tf.data.Dataset:
    """One element, int64 (): how many iterations of this dataset were begun before this one."""
    # Counted in Python, as a tf.Variable belongs to a device and to a distribution strategy.
    count = ExitSafeFunction(itertools.count().__next__)
    return tf.data.Dataset.from_tensors(0).map(
        lambda _: tf.ensure_shape(tf.numpy_function(count, [], tf.int64), ())
    )
