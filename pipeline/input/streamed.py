"""The streamed reader: reads shards from beginning to end, for URLs and for what is larger than memory."""

import tensorflow as tf

from pipeline.input.examples import parse_batches, read_in_order
from pipeline.input.shuffling import shuffled_stream
from pipeline.input.stored_split import StoredSplit


class StreamedReader:
    """Reads the shards anew in each epoch.

    An epoch that begins at a later batch still reads the batches before it. A damaged shard is found only
    when it is read: the iteration then fails with `tf.errors.DataLossError` or
    `tf.errors.InvalidArgumentError`.

    Args:
        stored: the split.
        shuffled: whether each epoch has a random order. Otherwise records come as they are stored.
        seed: seed of the order.
    """

    def __init__(self, stored: StoredSplit, *, shuffled: bool, seed: int) -> None:
        self._stored = stored
        self._shuffled = shuffled
        self._seed = seed

    def batches(self, epochs: tf.data.Dataset) -> tf.data.Dataset:
        """See `pipeline.input.reader.Reader`."""
        return epochs.flat_map(self._epoch)

    def _epoch(self, number: tf.Tensor, first_batch: tf.Tensor) -> tf.data.Dataset:
        stored, share = self._stored, self._stored.share
        examples = shuffled_stream(stored, self._seed, number) if self._shuffled else read_in_order(stored)
        batches = examples.batch(share.batch_size)
        if share.last_batch_is_larger:
            batches = batches.rebatch([share.batch_size] * (share.num_batches - 1) + [share.batch_size + 1])
        return parse_batches(batches.skip(first_batch), stored)
