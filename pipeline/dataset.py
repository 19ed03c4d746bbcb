"""Streams a split of the records to the training device as uint8 batches.

Two ways, chosen by `cache`:

- `ram`: the split is held once as uint8, and every epoch is a true global shuffle by index.
- `none`: shards are read in a new order each epoch, several at a time, through a shuffle buffer. Records
  are already globally shuffled when they are built, so a buffer of a few thousand mixes well.

An epoch holds every record exactly once, in a last batch that may be smaller. Epoch `e` of seed `s` has
the same order wherever it starts, so that a training continued at epoch `e` sees what it would have seen.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf

from tfrecords_builder import manifest
from tfrecords_builder.command import UserError
from tfrecords_builder.manifest import Manifest
from tfrecords_builder.records import Split, features_for_training

EpochFunction = Callable[[tf.Tensor], tf.data.Dataset]
Cache = Literal["auto", "ram", "none"]

SHARE_OF_FREE_MEMORY = 0.5
"""A split is held in memory by `auto` if it takes at most this share of what is free."""
READ_BUFFER_BYTES = 256 << 10  # 256 KiB: larger buffers measured slower, as they leave the CPU's cache
INTERLEAVED_SHARDS = 16
SHUFFLE_BUFFER_RECORDS = 4096

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
    epochs: int | None = 1,
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
        epochs: how many epochs follow one another; None for no end.

    Returns:
        Dataset of (image uint8 (batch, side, side, 1), label float32 (batch,)); labels are 0 or 1.

    Raises:
        UserError: if the folder has no such records.
    """
    content = manifest.load(records)
    if split not in content.splits or not content.splits[split].records:
        raise UserError(f"{records!r} has no {split!r} records, only {sorted(content.splits)}")
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1. Received: {batch_size}")
    if _held_in_memory(content, split, cache):
        one_epoch = _from_memory(records, content, split, batch_size, shuffled=training, seed=seed)
    else:
        one_epoch = _streaming(records, content, split, batch_size, shuffled=training, seed=seed)
    last = first_epoch + epochs if epochs is not None else tf.int64.max
    dataset = tf.data.Dataset.range(first_epoch, last).flat_map(one_epoch)
    if epochs is not None:
        batches = steps_per_epoch(content, split, batch_size) * epochs
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches))
    return dataset.prefetch(tf.data.AUTOTUNE)


def steps_per_epoch(content: Manifest, split: Split, batch_size: int) -> int:
    """Batches of one epoch, the last and perhaps smaller one included."""
    return -(-content.splits[split].records // batch_size)


def load_arrays(records: str, split: Split) -> tuple[tf.Tensor, tf.Tensor]:
    """A whole split in the order it is stored in: (image uint8 (n, side, side, 1), label float32 (n,))."""
    content = manifest.load(records)
    count, side = content.splits[split].records, content.preprocessing.image_size
    images, labels = np.empty((count, side, side, 1), np.uint8), np.empty(count, np.float32)
    serialized = _serialized(_paths(records, content, split), shuffled=False)
    filled = 0
    for some_images, some_labels in _parsed(serialized, content, batch_size=1024).as_numpy_iterator():
        end = filled + len(some_labels)
        images[filled:end], labels[filled:end] = some_images, some_labels
        filled = end
    return tf.constant(images), tf.constant(labels)


def _held_in_memory(content: Manifest, split: Split, cache: Cache) -> bool:
    if cache != "auto":
        return cache == "ram"
    needed = content.splits[split].records * content.preprocessing.image_size**2
    free = _free_memory_bytes()
    fits = needed <= SHARE_OF_FREE_MEMORY * free
    logger.info(
        "%s: %s, it takes %.0f MiB of the %.0f MiB free",
        split,
        "held in memory" if fits else "streamed from its shards",
        needed / (1 << 20),
        free / (1 << 20),
    )
    return fits


def _free_memory_bytes() -> int:
    """What can be allocated without swapping; page cache counts as free where the system tells it."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kibibytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return int(kibibytes) << 10
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _from_memory(
    records: str, content: Manifest, split: Split, batch_size: int, *, shuffled: bool, seed: int
) -> EpochFunction:
    images, labels = load_arrays(records, split)
    count = content.splits[split].records

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.range(count)
        if shuffled:
            order = tf.random.experimental.stateless_shuffle(order, seed=tf.stack([seed, epoch]))

        def gather(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            positions = order[batch * batch_size : (batch + 1) * batch_size]
            return tf.gather(images, positions), tf.gather(labels, positions)

        return tf.data.Dataset.range(-(-count // batch_size)).map(gather)

    return one_epoch


def _streaming(
    records: str, content: Manifest, split: Split, batch_size: int, *, shuffled: bool, seed: int
) -> EpochFunction:
    paths = _paths(records, content, split)

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        order = seed + epoch
        serialized = _serialized(paths, shuffled=shuffled, seed=order)
        if shuffled:
            serialized = serialized.shuffle(SHUFFLE_BUFFER_RECORDS, seed=order)
        return _parsed(serialized, content, batch_size)

    return one_epoch


def _paths(records: str, content: Manifest, split: Split) -> list[str]:
    return [f"{records.rstrip('/')}/{shard.name}" for shard in content.splits[split].shards]


def _serialized(paths: list[str], *, shuffled: bool, seed: tf.Tensor | int = 0) -> tf.data.Dataset:
    """The records of the shards as they are stored: shard after shard, or from many shards at a time."""

    def read(path: tf.Tensor) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(path, buffer_size=READ_BUFFER_BYTES)

    files = tf.data.Dataset.from_tensor_slices(paths)
    if not shuffled:
        return files.flat_map(read)
    return files.shuffle(len(paths), seed=seed).interleave(read, cycle_length=INTERLEAVED_SHARDS)


def _parsed(serialized: tf.data.Dataset, content: Manifest, batch_size: int) -> tf.data.Dataset:
    """Parses records a batch at a time: one call for many is several times faster than one each."""
    side = content.preprocessing.image_size
    features = features_for_training()

    def parse(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_example(batch, features)
        if content.encoding == "raw":
            pixels = tf.io.decode_raw(parsed["image"], tf.uint8, fixed_length=side * side)
        else:
            pixels = tf.map_fn(_decode_gray, parsed["image"], fn_output_signature=tf.uint8)
        return tf.reshape(pixels, (-1, side, side, 1)), tf.cast(parsed["label"], tf.float32)

    return serialized.batch(batch_size).map(parse, num_parallel_calls=tf.data.AUTOTUNE)


def _decode_gray(encoded: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(encoded, channels=1, expand_animations=False)


def load_origins(records: str, split: Split) -> list[dict[str, str]]:
    """`source`, `patient` and `subtype` of every record of a split, in the order `load_arrays` has."""
    content = manifest.load(records)
    names = ("source", "patient", "subtype")
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in names}
    batches = _serialized(_paths(records, content, split), shuffled=False).batch(1024)
    origins = []
    for batch in batches.map(lambda serialized: tf.io.parse_example(serialized, features)):
        columns = [[value.decode("utf-8", "replace") for value in batch[name].numpy()] for name in names]
        origins += [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return origins
