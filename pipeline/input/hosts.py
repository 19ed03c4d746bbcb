"""Which records of a split each of several hosts reads, so that together they read every one exactly once."""

import dataclasses

from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Manifest
from tfrecords_builder.records import Split


@dataclasses.dataclass(frozen=True)
class ShardPart:
    """Consecutive records of one shard."""

    shard: str
    """File name of the shard."""
    first_record: int
    """Position of the first of these records in the shard."""
    num_records: int


@dataclasses.dataclass(frozen=True)
class HostShare:
    """The records of a split that one host reads.

    The records of all shards, in the order in which they are stored, are cut into one range per host. A host
    opens only the shards of its range and keeps its range in all epochs. Records are shuffled globally when
    they are built, so every range is a fair sample.

    Hosts that train in step need the same number of batches. Some hosts may have one record more than others;
    where it would make another batch, it goes into the last batch, which then holds `batch_size + 1` records.
    """

    split: Split
    parts: tuple[ShardPart, ...]
    batch_size: int
    """Images per batch."""
    num_batches: int
    """Batches per epoch, the same on every host."""

    @property
    def num_records(self) -> int:
        """Records per epoch."""
        return sum(part.num_records for part in self.parts)

    @property
    def last_batch_is_larger(self) -> bool:
        """Whether the last batch holds `batch_size + 1` records."""
        return self.num_records > self.num_batches * self.batch_size


def host_share(content: Manifest, split: Split, batch_size: int, host: tuple[int, int] = (0, 1)) -> HostShare:
    """The records that one host reads.

    Args:
        content: the manifest of the records.
        split: `train`, `val` or `test`.
        batch_size: images per batch.
        host: (index, count): the index of the host, from 0, and the number of hosts.

    Raises:
        UserError: if the records have no such split, or fewer records than there are hosts, or if
            `batch_size` or `host` is out of range.
    """
    index, count = host
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1. Received: {batch_size}")
    if not 0 <= index < count:
        raise UserError(f"host must be (index, count) with 0 <= index < count. Received: {host}")
    total = content.splits[split].records if split in content.splits else 0
    if not total:
        raise UserError(f"there are no {split!r} records, only {sorted(content.splits)}")
    if total < count:
        raise UserError(f"{total} {split!r} records are too few for {count} hosts")
    parts = _parts_between(content, split, total * index // count, total * (index + 1) // count)
    return HostShare(split, parts, batch_size, num_batches=-(-(total // count) // batch_size))


def _parts_between(content: Manifest, split: Split, first: int, end: int) -> tuple[ShardPart, ...]:
    """The parts of the shards that hold the records `first` to `end - 1` of the split."""
    parts = []
    records_before = 0
    for shard in content.splits[split].shards:
        begin, stop = max(first - records_before, 0), min(end - records_before, shard.records)
        if begin < stop:
            parts.append(ShardPart(shard.name, begin, stop - begin))
        records_before += shard.records
    return tuple(parts)
