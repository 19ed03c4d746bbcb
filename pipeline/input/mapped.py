"""The mapped reader: maps local shards into memory; copies raw images, or decodes JPEG and PNG, into batches.

The operating system keeps what was read in its page cache. The first epoch reads the disk at random places.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.input import lung_masks
from pipeline.input.exit_safe_function import ExitSafeFunction
from pipeline.input.host_resources import num_cores
from pipeline.input.indexed import IndexedReader
from pipeline.input.mapped_shards import copy_lungs, copy_pixels, decode, map_shards
from pipeline.input.recycled_batches import RecycledBatches
from pipeline.input.stored_split import StoredSplit
from tfrecords_builder import storage
from tfrecords_builder.errors import UserError
from tfrecords_builder.records import num_packed_bytes


class MappedReader(IndexedReader):
    """Fetches records of local shards by position.

    Raises:
        UserError: if the records are not local, or an index is missing.
    """

    def __init__(self, stored: StoredSplit, *, shuffled: bool, seed: int) -> None:
        super().__init__(stored, shuffled=shuffled, seed=seed)
        self._side, self._lungs = stored.side, stored.lungs
        self._fetch_arrays = ExitSafeFunction(_make_fetch(stored))
        # Copying holds the interpreter's lock, so that several threads would wait for one another. Decoding
        # does not hold it.
        self.parallel_batches = 1 if stored.encoding == "raw" else num_cores()

    def fetch(self, positions: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """See the base class."""
        side, types = self._side, (tf.uint8, tf.float32, tf.uint8, tf.bool)[: 4 if self._lungs else 2]
        images, labels, *lungs = tf.numpy_function(self._fetch_arrays, [positions], types, stateful=False)
        images, labels = tf.ensure_shape(images, (None, side, side, 1)), tf.ensure_shape(labels, (None,))
        if not self._lungs:
            return images, labels
        packed = tf.ensure_shape(lungs[0], (None, num_packed_bytes(side)))
        return (images, lung_masks.unpack(packed, tf.ensure_shape(lungs[1], (None,)), side)), labels


def _make_fetch(stored: StoredSplit) -> Callable[[NDArray[np.int64]], tuple[NDArray[Any], ...]]:
    """A function from positions (batch,) to images (batch, side, side, 1) and labels (batch,).

    With `stored.lungs` it also returns what `copy_lungs` does.
    """
    if storage.is_url(stored.folder):
        raise UserError(f"the mapped reader needs records in a local folder. Received: {stored.folder!r}")
    shards = map_shards(stored)
    fill = copy_pixels if stored.encoding == "raw" else decode
    largest_batch = stored.share.batch_size + 1  # the last batch of a host may hold one image more
    batches = RecycledBatches(largest_batch, stored.side)

    def fetch_arrays(positions: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        images, places = batches.take(len(positions)), shards.locate(positions)
        fill(places, images)
        lungs = copy_lungs(places, stored.side) if stored.lungs else ()
        return images, places.labels, *lungs

    return fetch_arrays
