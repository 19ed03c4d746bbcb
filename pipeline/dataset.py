"""Batches of a split of the records, for training and validation.

`make_dataset` chooses one of three readers, which give the same batches of uint8 images:

- The memory reader holds the split in memory.
- The mapped reader maps local shards into memory.
- The streamed reader reads shards from beginning to end, if they are behind a URL or larger than this
  machine's memory.

The first two shuffle globally and have the same order; the third shuffles through a buffer. See
`pipeline.input.reader` for the choice, `pipeline.input.shuffling` for the order, and docs/performance.md for
the rates that were measured.
"""

import tensorflow as tf

from pipeline.input.cache import Cache
from pipeline.input.epochs import epoch_numbers
from pipeline.input.hosts import host_share
from pipeline.input.prefetching import PREFETCHED_BATCHES
from pipeline.input.reader import DataOrder, ReaderName, choose_order, choose_reader, open_reader
from pipeline.input.stored_split import open_split
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Manifest
from tfrecords_builder.records import Split


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
    host: tuple[int, int] = (0, 1),
    order: DataOrder | None = None,
    reader: ReaderName | None = None,
    lungs: bool = False,
) -> tf.data.Dataset:
    """Batches of one split.

    An epoch holds every record exactly once. With `training`, each epoch has another order, which depends on
    `seed` and the number of the epoch alone.

    With `training` and a number of `epochs`, every iteration of the dataset is the next `epochs` epochs, so
    that `model.fit(make_dataset(...), epochs=10)` trains on ten different orders. An iteration takes its
    epochs when its first batch is asked for, even if it is not finished. (Before Keras trains with JAX or on
    several devices, it asks for a batch to learn its shape, and so passes over the first epoch.)

    With `epochs=None` or without `training`, every iteration begins at `first_epoch` and `first_batch`. A
    training that is continued uses `epochs=None` and gives `fit` its `steps_per_epoch`.

    Args:
        records: folder that `tfrecords_builder` wrote: a path, or a URL that tf.io.gfile opens.
        split: `train`, `val` or `test`.
        batch_size: images per batch. The last batch of an epoch may be smaller.
        training: whether to shuffle. Otherwise the records come in the order in which they are stored.
        cache: `ram` holds the split in memory, `none` reads it from its shards, `auto` decides by the free
            memory.
        seed: seed of the order.
        first_epoch: number of the epoch to begin with, from 0.
        first_batch: batch of the first epoch to begin with, from 0.
        epochs: number of epochs per iteration; None for no end.
        host: (index, count): the index of this host, from 0, and the number of hosts that share the records.
            See `pipeline.input.hosts.HostShare`.
        order: `indexed` or `streamed` to use a reader of this order, as `data_order` returned it when the
            training was begun. `cache` then decides between the readers of that order alone.
        reader: `memory`, `mapped` or `streamed` to use this reader, whatever `cache` and `order` are.
        lungs: whether batches hold the lung masks of the records, too.

    Returns:
        Dataset of (image uint8 (batch, side, side, 1), label float32 (batch,)); labels are 0 or 1. With
        `lungs` it is one of ((image, lungs int8 (batch, side, side, 1)), label): the lungs are 1 in a lung,
        -1 outside, and 0 in images without a mask. The cardinality is known, unless the first iteration has
        fewer batches than the others.

    Raises:
        UserError: if the folder has no such records, too few for so many hosts, a shard that is missing or
            damaged, or if an argument is out of range.
    """
    stored = open_split(records, split, batch_size, host, lungs=lungs)
    num_batches = stored.share.num_batches
    if not 0 <= first_batch < num_batches:
        raise UserError(f"first_batch must be 0 to {num_batches - 1}. Received: {first_batch}")
    opened = open_reader(stored, reader or choose_reader(stored, cache, order), shuffled=training, seed=seed)

    def with_first_batch(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return number, tf.where(number == first_epoch, tf.constant(first_batch, tf.int64), 0)

    numbers = epoch_numbers(first_epoch, epochs, advance=training)
    dataset = opened.batches(numbers.map(with_first_batch))
    iterations_are_equally_long = not (training and first_batch)
    if epochs is not None and iterations_are_equally_long:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(num_batches * epochs - first_batch))
    return dataset.prefetch(PREFETCHED_BATCHES)


def data_order(records: str, split: Split, batch_size: int, cache: Cache = "auto") -> DataOrder:
    """The order in which `make_dataset` would shuffle a split now. It may depend on the free memory.

    A training stores it when it begins, so that it continues in the same order.

    Args:
        records: folder that `tfrecords_builder` wrote: a path or a URL.
        split: `train`, `val` or `test`.
        batch_size: images per batch.
        cache: as for `make_dataset`.

    Returns:
        `indexed` for the memory reader and the mapped reader, `streamed` for the streamed reader.

    Raises:
        UserError: as `make_dataset` does.
    """
    return choose_order(open_split(records, split, batch_size), cache)


def steps_per_epoch(content: Manifest, split: Split, batch_size: int, host: tuple[int, int] = (0, 1)) -> int:
    """Number of batches per epoch, the last one included; the same on every host.

    Args:
        content: the manifest of the records.
        split: `train`, `val` or `test`.
        batch_size: images per batch.
        host: (index, count), as for `make_dataset`.

    Raises:
        UserError: as `make_dataset` does for such arguments.
    """
    return host_share(content, split, batch_size, host).num_batches
