"""The memory reader: holds a split in memory as uint8 and gathers batches from there."""

import tensorflow as tf

from pipeline.input.arrays import read_arrays
from pipeline.input.host_resources import num_cores
from pipeline.input.indexed import IndexedReader
from pipeline.input.stored_split import StoredSplit


class MemoryReader(IndexedReader):
    """Holds all images of a split, decoded.

    Raises:
        UserError: if a shard is damaged.
    """

    def __init__(self, stored: StoredSplit, *, shuffled: bool, seed: int) -> None:
        super().__init__(stored, shuffled=shuffled, seed=seed)
        images, labels = read_arrays(stored)
        self._images, self._labels = tf.constant(images), tf.constant(labels)
        self.parallel_batches = num_cores() + 1  # the fastest; measured: docs/performance.md

    def fetch(self, positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See the base class."""
        return tf.gather(self._images, positions), tf.gather(self._labels, positions)
