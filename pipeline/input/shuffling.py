"""How the records of an epoch are shuffled: by index if they can be fetched in any order, else by a buffer.

By index, every epoch is a true global shuffle, computed position by position (`permutation.py`), so that it
takes no memory and can begin anywhere. By a buffer, splits of up to SHUFFLE_BUFFER_RECORDS records
are shuffled truly, and larger ones nearly: their shards come in a random order, several at the same time, and
the buffer moves a record by about its own length. Records were also shuffled globally when they were built.

The order depends on the seed and the number of the epoch alone, so that a training that is continued at some
epoch sees what it would have seen.
"""

import tensorflow as tf

from pipeline.input.examples import read_part, shard_parts
from pipeline.input.permutation import permute
from pipeline.input.stored_split import StoredSplit

INTERLEAVED_SHARDS = 16
"""Shards that are read at the same time. A split has at most as many by default (`building/plan.py`)."""
SHUFFLE_BUFFER_RECORDS = 4096


def shuffled(positions: tf.Tensor, num_records: int, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Which records come at these positions of an epoch, int64 (n,); `positions` is of the same kind."""
    return permute(positions, num_records, tf.stack([tf.constant(seed, tf.int64), epoch]))


def shuffled_stream(stored: StoredSplit, seed: int, epoch: tf.Tensor | int) -> tf.data.Dataset:
    """The serialized examples of an epoch, in random order."""
    epoch_seed = tf.random.stateless_uniform([], tf.stack([seed, epoch]), maxval=tf.int64.max, dtype=tf.int64)
    parts = stored.share.parts
    # Dataset.shuffle and interleave would make every worker of a tf.data service read all shards.
    order = tf.random.experimental.stateless_shuffle(tf.range(len(parts)), seed=tf.stack([epoch_seed, 0]))
    columns = [tf.gather(column, order) for column in shard_parts(stored)]
    shards = tf.data.Dataset.from_tensor_slices(tuple(columns))
    interleaved = shards.interleave(read_part, cycle_length=INTERLEAVED_SHARDS)
    # Otherwise the order would also depend on the seed of the whole program, which a new graph takes over.
    tf.compat.v1.get_default_graph().seed = 1
    return interleaved.shuffle(SHUFFLE_BUFFER_RECORDS, seed=epoch_seed)
