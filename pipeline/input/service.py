"""Batches that other hosts prepare: the workers of a tf.data service."""

import tensorflow as tf

from pipeline.input.examples import parse_batches, read_in_order
from pipeline.input.prefetching import PREFETCHED_BATCHES
from pipeline.input.shuffling import shuffled_stream
from pipeline.input.stored_split import open_split
from tfrecords_builder.records import Split


def from_service(
    address: str,
    records: str,
    split: Split,
    *,
    batch_size: int,
    training: bool,
    seed: int = 0,
    epoch: int = 0,
    job_name: str | None = None,
) -> tf.data.Dataset:
    """One epoch of batches that the workers of a tf.data service prepare.

    A worker that is free takes the next shard (dynamic sharding), so that every record comes exactly once. If
    a worker dies, the shards that it was reading are lost to this epoch. The order of the batches depends on
    the workers. The last batch of each worker may be smaller.

    Args:
        address: address of the dispatcher, as in `grpc://127.0.0.1:5000`.
        records: folder of the records that all workers can open; a path or a URL.
        split: `train`, `val` or `test`.
        batch_size: images per batch.
        training: whether to shuffle the shards and the records of each worker.
        seed: seed of the order.
        epoch: number of the epoch, which decides its order.
        job_name: name that several hosts give to share one epoch: each batch then goes to one of them.

    Returns:
        Dataset of (image uint8 (batch, side, side, 1), label float32 (batch,)), of unknown cardinality.

    Raises:
        UserError: if the folder has no such records, or a shard is missing or cut short.
    """
    stored = open_split(records, split, batch_size)
    examples = shuffled_stream(stored, seed, epoch) if training else read_in_order(stored)
    service = tf.data.experimental.service.distribute(
        tf.data.experimental.service.ShardingPolicy.DYNAMIC, address, job_name=job_name
    )
    return parse_batches(examples.batch(batch_size), stored).apply(service).prefetch(PREFETCHED_BATCHES)
