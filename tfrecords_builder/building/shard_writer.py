"""Builds one shard. Every engine runs it, on this machine or on others."""

import dataclasses
from collections.abc import Iterator

from tfrecords_builder.building.plan import PlannedShard
from tfrecords_builder.manifest import LeftOut, Shard
from tfrecords_builder.record_index import PlacedExample
from tfrecords_builder.shards import new_shard


@dataclasses.dataclass(frozen=True)
class BuiltShard:
    """A shard that is finished, and the images that it lacks."""

    shard: Shard
    left_out: tuple[LeftOut, ...]


def build_shard(folder: str, planned: PlannedShard, records: Iterator[PlacedExample | LeftOut]) -> BuiltShard:
    """Writes a shard into a folder. Its files appear under their names only when they are complete.

    Args:
        folder: a path or a URL.
        planned: the shard to write.
        records: what a RecordMaker made of the images of the shard, in their order. Only as many are taken as
            the shard has images.
    """
    left_out = []
    with new_shard(folder, planned.name) as writer:
        for _ in planned.images:
            record = next(records)
            if isinstance(record, LeftOut):
                left_out.append(record)
            else:
                writer.write(record)
    return BuiltShard(writer.shard, tuple(left_out))
