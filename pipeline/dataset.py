"""Streams a split of the records to the training device as uint8 batches.

Three ways:

- In memory (`cache="ram"`): the split is held once as uint8, and gathered by index.
- Local shards that fit in this machine's memory: the files are mapped into it, the place of every record is
  found once, and batches are copied, or decoded, from there by index. The operating system keeps them in its
  page cache.
- All others (larger ones, and what is read by a URL): shards are read from their beginning to their end, in a
  new order each epoch, several at a time, through a shuffle buffer.

By index, every epoch is a true global shuffle, and can begin at any batch at once. Through the buffer, splits
of up to SHUFFLE_BUFFER_RECORDS are shuffled truly, and larger ones nearly: shards come in a random order and
are read in turn, a record is moved by about a buffer's length, and the records were shuffled globally when
they were built.

An epoch holds every record exactly once, in a last batch that may be smaller. Epoch `e` of seed `s` has
the same order wherever it starts, so that a training continued at epoch `e` sees what it would have seen.

What is fixed, and why, measured on 2 cores with raw records of 224x224 pixels in the page cache
(`python -m pipeline.benchmark --stages limits input`): TFRecordDataset read 41,000 records/s, much of the
time in its checksum and its copies, and none of a dozen arrangements of interleaving, buffers, threads and
parsing was faster when shuffled; mapped files with recycled batches gave 123,000. As many batches in parallel
as there are cores decode as fast as more, at 10,600, and one more gather fastest, at 283,000; AUTOTUNE came
to 7,900 (with OpenCV's decoder) and 200,000. From a disk that is slow at random reads, the first epoch of
mapped files is slow too.

Of 1 to 16 batches ahead none was faster than PREFETCHED_BATCHES. AUTOTUNE would double its buffer whenever
that was full and then ran empty, without end: a reader that paused now and then took 24 GiB in ten minutes.

Batches are not copied to a GPU ahead: Keras on JAX takes them from NumPy, MirroredStrategy prefetches to its
GPUs by itself, and `prefetch_to_device` must be the very last step, which a caller may want to add to.
"""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.input.arrays import read_arrays
from pipeline.input.cache import Cache
from pipeline.input.called_until_exit import CalledUntilExit
from pipeline.input.hosts import HostShare, ShardPart, host_share
from pipeline.input.mapped_shards import map_shards
from pipeline.input.recycled_batches import RecycledBatches
from pipeline.input.stored_split import StoredSplit
from tfrecords_builder import manifest
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Manifest
from tfrecords_builder.records import Split, features_for_training

EpochFunction = Callable[[tf.Tensor, tf.Tensor], tf.data.Dataset]
"""From an epoch's number and its first batch to its batches."""
GatherFunction = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
"""From positions of records to their images and labels."""
Way = Callable[..., EpochFunction]

SHARE_OF_FREE_MEMORY = 0.5
"""A split is held in memory by `auto` if it takes at most this share of what is free."""
INTERLEAVED_SHARDS = 16
SHUFFLE_BUFFER_RECORDS = 4096
PREFETCHED_BATCHES = 4

logger = logging.getLogger(__name__)


def make_dataset(
    records: str,
    split: Split,
    *,
    batch_size: int,
    training: bool,
    cache: Cache = "auto",
    seed: int = 0,
    first_epoch: int = 0,
    first_batch: int = 0,
    epochs: int | None = 1,
    shard: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Batches of one split.

    Args:
        records: a folder that `tfrecords_builder` wrote: a path or any URL that tf.io.gfile opens.
        split: `train`, `val` or `test`.
        batch_size: images a batch; the last batch of an epoch may be smaller.
        training: shuffle, anew each epoch; else the records come in the order they are stored in.
        cache: `ram` holds the split in memory, `none` streams it, `auto` decides by the memory free.
        seed: of the order.
        first_epoch: the epoch to begin with, which decides its order.
        first_batch: the batch of that epoch to begin with: those before it are left out.
        epochs: how many epochs follow one another, the first one included; None for no end.
        shard: (index, count) of this host among those that share the records, see `HostShare`.

    Returns:
        Dataset of (image uint8 (batch, side, side, 1), label float32 (batch,)); labels are 0 or 1.

    Raises:
        UserError: if the folder has no such records, or too few for so many hosts.
    """
    content = manifest.load(records)
    if split not in content.splits or not content.splits[split].records:
        raise UserError(f"{records!r} has no {split!r} records, only {sorted(content.splits)}")
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1. Received: {batch_size}")
    share = host_share(content, split, batch_size, shard)
    if not 0 <= first_batch < share.num_batches:
        raise UserError(f"first_batch must be 0 to {share.num_batches - 1}. Received: {first_batch}")
    _check_shards(records, content, share)
    way = _way(records, content, share, cache)
    one_epoch = way(records, content, share, shuffled=training, seed=seed)

    def epoch_from_its_first_batch(epoch: tf.Tensor) -> tf.data.Dataset:
        return one_epoch(epoch, tf.where(epoch == first_epoch, tf.constant(first_batch, tf.int64), 0))

    last = first_epoch + epochs if epochs is not None else tf.int64.max
    dataset = tf.data.Dataset.range(first_epoch, last).flat_map(epoch_from_its_first_batch)
    if epochs is not None:
        batches = share.num_batches * epochs - first_batch
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches))
    return dataset.prefetch(PREFETCHED_BATCHES)


def steps_per_epoch(content: Manifest, split: Split, batch_size: int, shard: tuple[int, int] = (0, 1)) -> int:
    """Batches of one epoch, the last and perhaps smaller one included; the same on every host."""
    return host_share(content, split, batch_size, shard).num_batches


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
    """One epoch of batches that other hosts prepare: the workers of a tf.data service.

    Sharding is dynamic: a worker that is free takes the next shard, so that every record comes exactly once,
    unless a worker dies, whose shards under way are then lost. In which order batches arrive depends on the
    workers, and each of them may end with a smaller batch.

    Args:
        address: of the dispatcher, as in `grpc://127.0.0.1:5000`.
        records: a folder that all workers can open.
        split: as for `make_dataset`, like all that follow.
        batch_size: images a batch.
        training: shuffle the shards, and the records of each worker.
        seed: of the order.
        epoch: which epoch it is, which decides the order.
        job_name: of the epoch, if several hosts train on it: each batch goes to one of them.

    Returns:
        Dataset as of `make_dataset`, of unknown cardinality.
    """
    content = manifest.load(records)
    share = host_share(content, split, batch_size)
    _check_shards(records, content, share)
    serialized = _serialized(records, share.parts, shuffled=training, seed=_order_seed(seed, epoch))
    service = tf.data.experimental.service.distribute(
        tf.data.experimental.service.ShardingPolicy.DYNAMIC, address, job_name=job_name
    )
    return _parsed(serialized.batch(batch_size), content).apply(service).prefetch(PREFETCHED_BATCHES)


def _check_shards(records: str, content: Manifest, share: HostShare) -> None:
    """Refuses shards that are missing or of another size than when they were written.

    Raises:
        UserError: naming the first one.
    """
    expected = {shard.name: shard.bytes for shard in content.splits[share.split].shards}
    for part in share.parts:
        path = f"{records.rstrip('/')}/{part.shard}"
        try:
            found = tf.io.gfile.stat(path).length
        except tf.errors.NotFoundError:
            raise UserError(f"{path!r} is missing: build the records again") from None
        if found != expected[part.shard]:
            raise UserError(
                f"{path!r} has {found} bytes, {expected[part.shard]} were written: build the records again"
            )


def _way(records: str, content: Manifest, share: HostShare, cache: Cache) -> Way:
    """How the records are read, which is logged where it was not asked for."""
    stored = sum(shard.bytes for shard in content.splits[share.split].shards)
    # Not the memory that happens to be free: a training that continues must come to the same way.
    streaming = _from_mapped_shards if Path(records).is_dir() and stored <= _memory_bytes() else _streaming
    if cache != "auto":
        return _from_memory if cache == "ram" else streaming
    free = _free_memory_bytes()
    needed = share.num_records * content.preprocessing.image_size**2
    fits = needed <= SHARE_OF_FREE_MEMORY * free
    logger.info(
        "%s: %s, it takes %.0f MiB of the %.0f MiB free",
        share.split,
        "held in memory" if fits else "streamed from its shards",
        needed / (1 << 20),
        free / (1 << 20),
    )
    return _from_memory if fits else streaming


def _free_memory_bytes() -> int:
    """What can be allocated without swapping; page cache counts as free where the system tells it."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kibibytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return int(kibibytes) << 10
    except (OSError, StopIteration):
        return _memory_bytes() // 2


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _from_memory(
    records: str, content: Manifest, share: HostShare, *, shuffled: bool, seed: int
) -> EpochFunction:
    images, labels = (tf.constant(array) for array in read_arrays(StoredSplit(records, content, share)))

    def gather(positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(images, positions), tf.gather(labels, positions)

    return _by_index(share, gather, parallel=_cores() + 1, shuffled=shuffled, seed=seed)


def _from_mapped_shards(
    records: str, content: Manifest, share: HostShare, *, shuffled: bool, seed: int
) -> EpochFunction:
    side, is_raw = content.preprocessing.image_size, content.encoding == "raw"
    mapped = map_shards(records, share.parts, side * side if is_raw else None)
    batches = RecycledBatches(share.batch_size + 1, side)
    fill = mapped.copy_pixels if is_raw else mapped.decode
    cv2.setNumThreads(1)  # the batches in parallel are the threads

    def take(positions: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        batch = batches.take(len(positions))
        fill(positions, batch)
        return batch, mapped.labels[positions]

    called = CalledUntilExit(take)

    def gather(positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = tf.numpy_function(called, [positions], (tf.uint8, tf.float32), stateful=False)
        return tf.ensure_shape(images, (None, side, side, 1)), tf.ensure_shape(labels, (None,))

    # Who copies holds the interpreter's lock, so one does; who decodes does not.
    parallel = 1 if is_raw else _cores()
    return _by_index(share, gather, parallel=parallel, shuffled=shuffled, seed=seed)


def _by_index(
    share: HostShare, gather: GatherFunction, *, parallel: int, shuffled: bool, seed: int
) -> EpochFunction:
    """Batches of records that can be had in any order: a global shuffle, begun at any batch at once."""

    def one_epoch(epoch: tf.Tensor, first_batch: tf.Tensor) -> tf.data.Dataset:
        order = tf.range(share.num_records, dtype=tf.int64)
        if shuffled:
            order = tf.random.experimental.stateless_shuffle(order, seed=tf.stack([seed, epoch]))

        def batch(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            begin, is_last = number * share.batch_size, number == share.num_batches - 1
            end = tf.where(is_last, tf.constant(share.num_records, tf.int64), begin + share.batch_size)
            return gather(order[begin:end])

        return tf.data.Dataset.range(first_batch, share.num_batches).map(batch, num_parallel_calls=parallel)

    return one_epoch


def _streaming(
    records: str, content: Manifest, share: HostShare, *, shuffled: bool, seed: int
) -> EpochFunction:
    def one_epoch(epoch: tf.Tensor, first_batch: tf.Tensor) -> tf.data.Dataset:
        # Else the order would depend on the seed of the whole program, too. This sets it in this graph alone.
        tf.compat.v1.set_random_seed(1)
        serialized = _serialized(records, share.parts, shuffled=shuffled, seed=_order_seed(seed, epoch))
        batches = serialized.batch(share.batch_size)
        if share.num_records > share.num_batches * share.batch_size:
            sizes = [share.batch_size] * (share.num_batches - 1) + [share.batch_size + 1]
            batches = batches.rebatch(sizes)
        return _parsed(batches.skip(first_batch), content)

    return one_epoch


def _order_seed(seed: int, epoch: tf.Tensor | int) -> tf.Tensor:
    return tf.random.stateless_uniform([], tf.stack([seed, epoch]), maxval=tf.int64.max, dtype=tf.int64)


def _serialized(
    records: str, parts: Sequence[ShardPart], *, shuffled: bool, seed: tf.Tensor | int = 0
) -> tf.data.Dataset:
    """The records as they are stored, or shuffled: from many shards at a time, and through a buffer."""

    def read(path: tf.Tensor, first: tf.Tensor, count: tf.Tensor) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(path).skip(first).take(count)

    paths = tf.constant([f"{records.rstrip('/')}/{part.shard}" for part in parts])
    firsts = tf.constant([part.first_record for part in parts], tf.int64)
    counts = tf.constant([part.num_records for part in parts], tf.int64)
    if not shuffled:
        return tf.data.Dataset.from_tensor_slices((paths, firsts, counts)).flat_map(read)
    # Not Dataset.shuffle: with it and interleave, every worker of a tf.data service reads all shards.
    order = tf.random.experimental.stateless_shuffle(tf.range(len(parts)), seed=tf.stack([seed, 0]))
    files = tf.data.Dataset.from_tensor_slices(
        (tf.gather(paths, order), tf.gather(firsts, order), tf.gather(counts, order))
    )
    interleaved = files.interleave(read, cycle_length=INTERLEAVED_SHARDS)
    return interleaved.shuffle(SHUFFLE_BUFFER_RECORDS, seed=seed)


def _parsed(batches: tf.data.Dataset, content: Manifest) -> tf.data.Dataset:
    """Parses records a batch at a time: one call for many is several times faster than one each."""
    side = content.preprocessing.image_size
    features = features_for_training()

    def decode(encoded: tf.Tensor) -> tf.Tensor:
        if content.encoding == "png":
            return tf.io.decode_png(encoded, channels=1)
        # The default is up to 10 grey levels off what the builder's OpenCV decodes.
        return tf.io.decode_jpeg(encoded, channels=1, dct_method="INTEGER_ACCURATE")

    def parse(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_example(batch, features)
        if content.encoding == "raw":
            pixels = tf.io.decode_raw(parsed["image"], tf.uint8, fixed_length=side * side)
        else:
            pixels = tf.map_fn(decode, parsed["image"], fn_output_signature=tf.uint8)
        return tf.reshape(pixels, (-1, side, side, 1)), tf.cast(parsed["label"], tf.float32)

    return batches.map(parse, num_parallel_calls=tf.data.AUTOTUNE)
