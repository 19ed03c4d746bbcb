"""The mapped reader: maps local shards into memory; copies raw images, or decodes JPEG and PNG, into batches.

The operating system keeps what was read in its page cache. The first epoch reads the disk at random places.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.input.exit_safe_function import ExitSafeFunction
from pipeline.input.host_resources import num_cores
from pipeline.input.indexed import IndexedReader
from pipeline.input.mapped_shards import map_shards
from pipeline.input.recycled_batches import RecycledBatches
from pipeline.input.stored_split import StoredSplit
from tfrecords_builder import storage
from tfrecords_builder.errors import UserError


class MappedReader(IndexedReader):
    """Finds every record of local shards once, and fetches records from there by position.

    Raises:
        UserError: if the records are not local, or a shard is damaged.
    """

    def __init__(self, stored: StoredSplit, *, shuffled: bool, seed: int) -> None:
        super().__init__(stored, shuffled=shuffled, seed=seed)
        self._side = stored.side
        self._fetch_arrays = ExitSafeFunction(_make_fetch(stored))
        # Copying holds the interpreter's lock, so that several threads would wait for one another. Decoding
        # does not hold it.
        self.parallel_batches = 1 if stored.encoding == "raw" else num_cores()

    def fetch(self, positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See the base class."""
        types = (tf.uint8, tf.float32)
        images, labels = tf.numpy_function(self._fetch_arrays, [positions], types, stateful=False)
        return tf.ensure_shape(images, (None, self._side, self._side, 1)), tf.ensure_shape(labels, (None,))


def _make_fetch(
    stored: StoredSplit,
) -> Callable[[NDArray[np.int64]], tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """A function from positions (batch,) to images (batch, side, side, 1) and labels (batch,)."""
    if storage.is_url(stored.folder):
        raise UserError(f"the mapped reader needs records in a local folder. Received: {stored.folder!r}")
    is_raw = stored.encoding == "raw"
    shards = map_shards(stored.folder, stored.share.parts, stored.side**2 if is_raw else None)
    fill = shards.copy_pixels if is_raw else shards.decode
    largest_batch = stored.share.batch_size + 1  # the last batch of a host may hold one image more
    batches = RecycledBatches(largest_batch, stored.side)

    def fetch_arrays(positions: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        images = batches.take(len(positions))
        fill(positions, images)
        return images, shards.labels[positions]

    return fetch_arrays
