"""Which image goes to which shard: decided before the building, by the source and the arguments alone."""

import dataclasses
import hashlib
import math
import os
from collections.abc import Sequence

from tfrecords_builder.records import SPLITS, Split, shard_name
from tfrecords_builder.source.folders import SourceImage
from tfrecords_builder.source.splits import seeded_hash

MOST_SHARDS_BY_DEFAULT = 16
RECORDS_PER_SHARD_BY_DEFAULT = 256


@dataclasses.dataclass(frozen=True)
class PlannedShard:
    """One shard to be built."""

    name: str
    split: Split
    images: tuple[SourceImage, ...]
    """In the order of their records."""


def plan_shards(images: Sequence[SourceImage], shards: int, seed: int) -> list[PlannedShard]:
    """Puts every split into the order of a seeded hash of its images' paths, and cuts it into equal parts.

    So records are globally shuffled once and for all, and a reader of one shard gets a fair sample.

    Args:
        images: of all splits.
        shards: of each split; 0 chooses 1 to 16 by the number of images.
        seed: of the order.
    """
    plan: list[PlannedShard] = []
    for split in SPLITS:
        of_split = [image for image in images if image.split == split]
        of_split.sort(key=lambda image: seeded_hash(seed, image.source))
        by_size = math.ceil(len(of_split) / RECORDS_PER_SHARD_BY_DEFAULT)
        count = min(len(of_split), shards or min(by_size, MOST_SHARDS_BY_DEFAULT))
        for index in range(count):
            first, end = len(of_split) * index // count, len(of_split) * (index + 1) // count
            plan.append(PlannedShard(shard_name(split, index, count), split, tuple(of_split[first:end])))
    return plan


def source_digest(folder: str, plan: Sequence[PlannedShard]) -> str:
    """Tells one source from another by what is known of its images, and their sizes, without reading them."""
    digest = hashlib.sha256()
    for shard in plan:
        for image in shard.images:
            known = (shard.name, image.source, image.split, image.label, image.patient, image.subtype)
            line = "\t".join(map(str, (*known, _size(folder, image)))) + "\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _size(folder: str, image: SourceImage) -> int:
    try:
        return os.stat(f"{folder}/{image.source}").st_size  # noqa: PTH116 - many times as fast as a Path
    except OSError:  # a broken link, which the build itself reports
        return -1
