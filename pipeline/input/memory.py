"""The memory reader: holds a split in memory as uint8 and gathers batches from there."""

import dataclasses
from typing import Any

import tensorflow as tf

from pipeline.input import lung_masks
from pipeline.input.arrays import read_arrays, read_lungs
from pipeline.input.host_resources import num_cores
from pipeline.input.indexed import IndexedReader
from pipeline.input.stored_split import StoredSplit


class MemoryReader(IndexedReader):
    """Holds all images of a split, decoded, and the packed lung masks if batches hold lungs.

    Raises:
        UserError: if a shard is damaged.
    """

    def __init__(self, stored: StoredSplit, *, shuffled: bool, seed: int) -> None:
        super().__init__(stored, shuffled=shuffled, seed=seed)
        images, labels = read_arrays(dataclasses.replace(stored, lungs=False))
        self._images, self._labels = tf.constant(images), tf.constant(labels)
        self.parallel_batches = num_cores() + 1  # the fastest; measured: docs/performance.md

        self._side = stored.side
        self._lungs = tuple(map(tf.constant, read_lungs(stored))) if stored.lungs else None

    def fetch(self, positions: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """See the base class."""
        images, labels = tf.gather(self._images, positions), tf.gather(self._labels, positions)
        if self._lungs is None:
            return images, labels
        packed, known = (tf.gather(array, positions) for array in self._lungs)
        return (images, lung_masks.unpack(packed, known, self._side)), labels
