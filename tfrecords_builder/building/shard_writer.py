"""Writes one shard. Every engine runs it, on this machine or on others."""

import dataclasses
import hashlib
from collections.abc import Iterator

import tensorflow as tf

from tfrecords_builder import storage
from tfrecords_builder.building.plan import PlannedShard
from tfrecords_builder.manifest import LeftOut, Shard


@dataclasses.dataclass(frozen=True)
class BuiltShard:
    """A shard that is finished, and the images that it lacks."""

    shard: Shard
    left_out: tuple[LeftOut, ...]


def write_shard(folder: str, planned: PlannedShard, records: Iterator[bytes | LeftOut]) -> BuiltShard:
    """Writes a shard into a folder. The file appears under its name only when it is complete.

    Args:
        folder: a path or a URL.
        planned: the shard to write.
        records: what a RecordMaker made of the images of the shard, in their order. Only as many are taken as
            the shard has images.
    """
    left_out = []
    num_records = 0
    with storage.replacing(storage.join(folder, planned.name)) as unfinished:
        with tf.io.TFRecordWriter(unfinished) as writer:
            for _ in planned.images:
                record = next(records)
                if isinstance(record, LeftOut):
                    left_out.append(record)
                else:
                    writer.write(record)
                    num_records += 1
        num_bytes, digest = size_and_digest(unfinished)
    return BuiltShard(Shard(planned.name, num_records, num_bytes, digest), tuple(left_out))


def size_and_digest(path: str) -> tuple[int, str]:
    """The number of bytes and the SHA-256 of a file, read again, so that what the storage holds counts.

    Args:
        path: a path or a URL.
    """
    digest = hashlib.sha256()
    num_bytes = 0
    with tf.io.gfile.GFile(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            num_bytes += len(block)
    return num_bytes, digest.hexdigest()
