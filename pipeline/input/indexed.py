"""What the memory and the mapped reader share: batches of records that can be fetched in any order."""

import abc
from typing import Any

import tensorflow as tf

from pipeline.input.shuffling import shuffled
from pipeline.input.stored_split import StoredSplit

POSITIONS_AT_ONCE = 1 << 16
"""About how many positions are shuffled at once: few, so that an epoch begins at once, but not for each batch
alone, which takes longer."""


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
            The elements that `pipeline.input.reader.Reader.batches` describes.
        """

    def batches(self, epochs: tf.data.Dataset) -> tf.data.Dataset:
        """See `pipeline.input.reader.Reader`."""
        share = self._share
        batches_at_once = max(1, POSITIONS_AT_ONCE // share.batch_size)

        def begin_of(batch: tf.Tensor) -> tf.Tensor:
            is_end = batch == share.num_batches  # the last batch may be smaller or larger than the others
            return tf.where(is_end, tf.constant(share.num_records, tf.int64), batch * share.batch_size)

        def parts(number: tf.Tensor, first_batch: tf.Tensor) -> tf.data.Dataset:
            firsts = tf.data.Dataset.range(first_batch, share.num_batches, batches_at_once)
            return firsts.map(lambda first: (number, first))

        def place(number: tf.Tensor, first: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            end = tf.minimum(first + batches_at_once, share.num_batches)
            positions = tf.range(begin_of(first), begin_of(end))
            if self._shuffled:
                positions = shuffled(positions, share.num_records, self._seed, number)
            return first, end, positions

        def cut(first: tf.Tensor, end: tf.Tensor, positions: tf.Tensor) -> tf.data.Dataset:
            before = begin_of(first)
            return tf.data.Dataset.range(first, end).map(
                lambda batch: positions[begin_of(batch) - before : begin_of(batch + 1) - before]
            )

        # Prefetched, so that the beginning of the next epoch is computed before this one ends.
        positions = epochs.flat_map(parts).map(place).prefetch(1).flat_map(cut)
        return positions.map(self.fetch, num_parallel_calls=self.parallel_batches)
