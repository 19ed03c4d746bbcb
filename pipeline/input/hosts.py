"""Which records of a split each of several hosts reads, so that together they read every one exactly once."""

import dataclasses

from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Manifest
from tfrecords_builder.records import Split


@dataclasses.dataclass(frozen=True)
class ShardPart:
    """Consecutive records of one shard."""

    name: str
    first: int
    """Records of the shard before them."""
    records: int


@dataclasses.dataclass(frozen=True)
class HostShare:
    """One host's part of a split: as many records as any other host's or one more, in as many batches.

    The records of all shards, in the order they are stored in, are cut into one range for each host. A host
    opens the shards of its range alone, and keeps its range in all epochs: records are shuffled globally
    when they are built, so every range is a fair sample. A training in step needs the same number of batches
    on every host. A host whose one record more would make another batch has it in its last one, which is
    then larger than the others.
    """

    split: Split
    parts: tuple[ShardPart, ...]
    batch_size: int
    batches: int
    """Of one epoch."""

    @property
    def records(self) -> int:
        """Records of one epoch."""
        return sum(part.records for part in self.parts)


def host_share(
    content: Manifest, split: Split, batch_size: int, shard: tuple[int, int] = (0, 1)
) -> HostShare:
    """The part of host `index` among `count`, `shard` being (index, count).

    Raises:
        UserError: if there is no such host, or not a record for every one.
    """
    index, count = shard
    if not 0 <= index < count:
        raise UserError(f"shard must be (index, count) with 0 <= index < count. Received: {shard}")
    total = content.splits[split].records
    if total < count:
        raise UserError(f"{total} {split!r} records are too few for {count} hosts")
    parts = _between(content, split, total * index // count, total * (index + 1) // count)
    return HostShare(split, parts, batch_size, batches=-(-(total // count) // batch_size))


def _between(content: Manifest, split: Split, first: int, end: int) -> tuple[ShardPart, ...]:
    """The parts of the shards that hold the split's records `first` to `end`, the last one excluded."""
    parts = []
    before = 0
    for shard in content.splits[split].shards:
        begin, stop = max(first - before, 0), min(end - before, shard.records)
        if begin < stop:
            parts.append(ShardPart(shard.name, begin, stop - begin))
        before += shard.records
    return tuple(parts)
