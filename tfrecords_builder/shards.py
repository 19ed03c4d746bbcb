"""Writes shards, with the index that tells where their records lie."""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from tfrecords_builder import record_index, storage, tfrecord
from tfrecords_builder.manifest import Shard
from tfrecords_builder.record_index import IndexBuilder, PlacedExample
from tfrecords_builder.records import Record, deserialize, serialize


class ShardWriter:
    """Writes the records of one shard, one after the other.

    Args:
        file: the file to write to.
    """

    shard: Shard
    """Describes the shard, once it is complete."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.index = IndexBuilder()

    def write(self, placed: PlacedExample) -> None:
        """Writes the next record."""
        self._file.write(tfrecord.record(placed.example))
        self.index.add(placed)


@contextlib.contextmanager
def new_shard(folder: str, name: str) -> Iterator[ShardWriter]:
    """Lends the writer of a shard. The files appear under their names only after the block, complete.

    Args:
        folder: folder to write to; a path or a URL.
        name: file name of the shard.
    """
    with storage.replacing(storage.join(folder, name)) as unfinished:
        with storage.open_file(unfinished, "wb") as file:
            writer = ShardWriter(file)
            yield writer
        num_bytes, digest = size_and_digest(unfinished)
        index = writer.index.encoded
        storage.write(storage.join(folder, record_index.file_name(name)), index)
    index_digest = hashlib.sha256(index).hexdigest()
    writer.shard = Shard(name, writer.index.num_records, num_bytes, digest, index_digest)


def write_shard(folder: str, name: str, records: Iterable[Record]) -> Shard:
    """Writes a shard of records that exist already, and returns its description."""
    with new_shard(folder, name) as writer:
        for record in records:
            writer.write(record_index.place(serialize(record), record))
    return writer.shard


def make_index(path: str) -> bytes:
    """The index of a shard that has none, because an earlier version wrote it: reads the whole shard.

    Args:
        path: file of the shard; a path or a URL.

    Raises:
        tf.errors.OpError: if it is damaged.
        ValueError: if it holds something else than records.
    """
    import tensorflow as tf

    index = IndexBuilder()
    for example in tf.data.TFRecordDataset(path).as_numpy_iterator():
        index.add(record_index.place(example, deserialize(example)))
    return index.encoded


def size_and_digest(path: str) -> tuple[int, str]:
    """The number of bytes and the SHA-256 of a file, read again, so that what the storage holds counts.

    Args:
        path: a path or a URL.
    """
    digest = hashlib.sha256()
    num_bytes = 0
    with storage.open_file(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            num_bytes += len(block)
    return num_bytes, digest.hexdigest()
