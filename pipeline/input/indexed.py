"""What the memory and the mapped reader share: batches of records that can be fetched in any order."""

import abc
from typing import Any

import tensorflow as tf

from pipeline.input.shuffling import shuffled_positions
from pipeline.input.stored_split import StoredSplit


class IndexedReader(abc.ABC):
    """A reader that can fetch any record, and so shuffles globally and begins an epoch at any batch at once.

    Args:
        stored: the split.
        shuffled: whether each epoch has a random order. Otherwise records come as they are stored.
        seed: seed of the order.
    """

    parallel_batches: int
    """How many batches are fetched at the same time."""

    def __init__(self, stored: StoredSplit, *, shuffled: bool, seed: int) -> None:
        self._share = stored.share
        self._shuffled = shuffled
        self._seed = seed

    @abc.abstractmethod
    def fetch(self, positions: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """Fetches records at int64 positions (batch,).

        Returns:
            The elements that `pipeline.input.reader.Reader.epoch` describes.
        """

    def epoch(self, number: tf.Tensor, first_batch: tf.Tensor) -> tf.data.Dataset:
        """See `pipeline.input.reader.Reader`."""
        share = self._share
        if self._shuffled:
            positions = shuffled_positions(share.num_records, self._seed, number)
        else:
            positions = tf.range(share.num_records, dtype=tf.int64)

        def batch(index: tf.Tensor) -> tuple[Any, tf.Tensor]:
            begin = index * share.batch_size
            is_last = index == share.num_batches - 1  # which may be smaller or larger than the others
            end = tf.where(is_last, tf.constant(share.num_records, tf.int64), begin + share.batch_size)
            return self.fetch(positions[begin:end])

        indices = tf.data.Dataset.range(first_batch, share.num_batches)
        return indices.map(batch, num_parallel_calls=self.parallel_batches)
