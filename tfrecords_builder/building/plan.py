"""Decides which image goes to which shard, before the building, by the source and the settings alone.

By default a split has one shard for every 256 images, and at most 16 shards. When a split is too large to be
shuffled in memory, training reads 16 shards at the same time (`pipeline/input/shuffling.py`). With no more
than 16, every part of an epoch mixes records of all shards.
"""

import dataclasses
import hashlib
import math
import os
from collections.abc import Sequence

from tfrecords_builder.records import SPLITS, Split, shard_name
from tfrecords_builder.source.images import Details, SourceImage, image_path
from tfrecords_builder.source.lung_masks import mask_path
from tfrecords_builder.source.splits import seeded_hash

MAX_SHARDS_BY_DEFAULT = 16
RECORDS_PER_SHARD_BY_DEFAULT = 256


@dataclasses.dataclass(frozen=True)
class PlannedShard:
    """One shard that is to be built."""

    name: str
    split: Split
    images: tuple[SourceImage, ...]
    """The images, in the order of their records."""


def plan_shards(images: Sequence[SourceImage], num_shards: int, seed: int) -> list[PlannedShard]:
    """Sorts every split by a seeded hash of the paths of its images, and cuts it into shards of equal size.

    So the records are shuffled across all shards of a split, and each shard is a random sample of it.

    Args:
        images: the images of all splits.
        num_shards: number of shards of each split; 0 chooses 1 to 16 by the number of images.
        seed: decides the order.
    """
    plan: list[PlannedShard] = []
    for split in SPLITS:
        in_split = [image for image in images if image.split == split]
        in_split.sort(key=lambda image: seeded_hash(seed, image.source))
        by_default = min(math.ceil(len(in_split) / RECORDS_PER_SHARD_BY_DEFAULT), MAX_SHARDS_BY_DEFAULT)
        count = min(len(in_split), num_shards or by_default)
        for index in range(count):
            first, end = len(in_split) * index // count, len(in_split) * (index + 1) // count
            plan.append(PlannedShard(shard_name(split, index, count), split, tuple(in_split[first:end])))
    return plan


def source_digest(folder: str, plan: Sequence[PlannedShard], masks: str | None = None) -> str:
    """Hashes what is known about the images, to notice that a source has changed.

    The sizes of the files are part of it. Their content is not: no image is read.

    Args:
        folder: the folder that the paths of the images are relative to.
        plan: the images.
        masks: the folder of the lung masks, if there is one.
    """
    digest = hashlib.sha256()
    for shard in plan:
        for image in shard.images:
            known = (shard.name, image.source, image.split, image.label, image.patient, image.subtype)
            sizes: list[object] = [_size(image_path(folder, image.source))]
            if masks is not None:
                sizes.append(_size(mask_path(masks, image.source)))
            if image.details != Details():
                sizes += [image.details.columns, image.details.boxes]
            line = "\t".join(map(str, (*known, *sizes))) + "\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - many times as fast as Path.stat
    except OSError:  # a broken link, which the build reports, or no mask
        return -1
