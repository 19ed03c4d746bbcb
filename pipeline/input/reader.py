"""What a reader is, and which of the three readers reads a split."""

import logging
from collections.abc import Callable
from typing import Literal, Protocol

import tensorflow as tf

from pipeline.input.cache import Cache
from pipeline.input.host_resources import free_memory_bytes, memory_bytes
from pipeline.input.mapped import MappedReader
from pipeline.input.memory import MemoryReader
from pipeline.input.stored_split import StoredSplit
from pipeline.input.streamed import StreamedReader
from tfrecords_builder import storage
from tfrecords_builder.errors import UserError

ReaderName = Literal["memory", "mapped", "streamed"]
DataOrder = Literal["indexed", "streamed"]
"""How a reader shuffles. The memory reader and the mapped reader fetch records by their index, in the same
order; the streamed reader shuffles through a buffer, in another one."""

MAX_SHARE_OF_FREE_MEMORY = 0.5
"""`--cache auto` holds a split in memory if it takes at most this share of the free memory."""

logger = logging.getLogger(__name__)


class Reader(Protocol):
    """Reads the records of one split, epoch by epoch."""

    def batches(self, epochs: tf.data.Dataset) -> tf.data.Dataset:
        """The batches of epochs, one epoch after the other. An epoch holds every record exactly once.

        Args:
            epochs: dataset of (number int64 (), first_batch int64 ()): the number of the epoch, which decides
                its order, and how many batches are left out at its beginning.

        Returns:
            Dataset of (image uint8 (batch, side, side, 1), label float32 (batch,)), or, if the split was
            opened with `lungs`, of ((image, lungs int8 (batch, side, side, 1)), label): the lungs are 1 in a
            lung, -1 outside, and 0 in images without a mask.
        """


_READERS: dict[ReaderName, Callable[..., Reader]] = {
    "memory": MemoryReader,
    "mapped": MappedReader,
    "streamed": StreamedReader,
}


def open_reader(stored: StoredSplit, name: ReaderName, *, shuffled: bool, seed: int) -> Reader:
    """Opens a reader by its name.

    Args:
        stored: the split.
        name: `memory` holds the images in memory, `mapped` maps local shards into memory, `streamed` reads
            the shards from beginning to end.
        shuffled: whether each epoch has a random order. Otherwise records come as they are stored.
        seed: seed of the order.

    Raises:
        UserError: if there is no such reader, it cannot read these records, or it finds a damaged shard.
    """
    if name not in _READERS:
        raise UserError(f"reader must be one of {', '.join(_READERS)}. Received: {name!r}")
    return _READERS[name](stored, shuffled=shuffled, seed=seed)


def choose_reader(stored: StoredSplit, cache: Cache, order: DataOrder | None = None) -> ReaderName:
    """Chooses a reader by what the user asked for, and logs which one and why.

    Args:
        stored: the split.
        cache: what the user asked for.
        order: the order that a training was begun with, which comes before `cache`; None for any order.
    """
    name, reason = _choice(stored, cache)
    if order is not None and order != order_of(name):
        name, reason = _reader_of_order(stored, order), "it keeps the order that the training was begun with"
    logger.info("%s is read by the %s reader: %s", stored.share.split, name, reason)
    return name


def choose_order(stored: StoredSplit, cache: Cache) -> DataOrder:
    """The order of the reader that `choose_reader` would choose now."""
    return order_of(_choice(stored, cache)[0])


def order_of(name: ReaderName) -> DataOrder:
    """The order of a reader."""
    return "streamed" if name == "streamed" else "indexed"


def _reader_of_order(stored: StoredSplit, order: DataOrder) -> ReaderName:
    if order == "streamed":
        return "streamed"
    return "memory" if storage.is_url(stored.folder) else "mapped"


def _choice(stored: StoredSplit, cache: Cache) -> tuple[ReaderName, str]:
    if cache == "ram":
        return "memory", "cache=ram asks for it"
    name, reason = _reader_from_files(stored)
    if cache == "none":
        return name, reason
    needed, free = stored.share.num_records * stored.side**2, free_memory_bytes()
    amounts = f"its images take {needed / (1 << 20):,.0f} MiB, and {free / (1 << 20):,.0f} MiB are free"
    if needed <= MAX_SHARE_OF_FREE_MEMORY * free:
        return "memory", amounts
    return name, f"{amounts}; {reason}"


def _reader_from_files(stored: StoredSplit) -> tuple[ReaderName, str]:
    if storage.is_url(stored.folder):
        return "streamed", "its shards are behind a URL"
    # All memory counts, not what is free: the same command then reads in the same order on this machine.
    if stored.stored_bytes > memory_bytes():
        return "streamed", "its shards are larger than this machine's memory"
    return "mapped", "its shards are local and fit in this machine's memory"
