"""Builds sharded TFRecords from a folder of X-rays.

Threads do the work: OpenCV, hashing and reading release Python's lock. What is in the shards depends on the
source, the arguments and the version alone, never on the number of workers or the order they finish in.
"""

import collections
import dataclasses
import functools
import hashlib
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray

from tfrecords_builder import __version__, manifest
from tfrecords_builder.command import UserError
from tfrecords_builder.manifest import LeftOut, Manifest, Shard, SplitContent
from tfrecords_builder.preprocessing import Preprocessing, UnreadableImage
from tfrecords_builder.progress import progress
from tfrecords_builder.records import (
    CLASS_NAMES,
    SPLITS,
    Encoding,
    Record,
    Split,
    serialize,
    shard_name,
)
from tfrecords_builder.source import SourceImage, find_images
from tfrecords_builder.splits import draw_validation, seeded_hash

JPEG_QUALITY = 95
MOST_SHARDS_BY_DEFAULT = 16
RECORDS_PER_SHARD_BY_DEFAULT = 256
IMAGES_AHEAD_PER_WORKER = 8  # bounds the memory whatever the number of images

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class BuildConfig:
    """Builds sharded TFRecords of border-cropped X-rays from chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}.

    Raises:
        ValueError: for settings that make no records.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """Folder of images; also as the Kaggle archive unpacks it."""
    records: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECORDS")]
    """Folder to write shards and dataset.json to; a path or a URL."""
    preprocessing: Annotated[Preprocessing, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Preprocessing
    )
    encoding: Encoding = "raw"
    """How images are stored: raw pixels (fastest to read), or PNG, or JPEG of quality 95 (smallest)."""
    val_fraction: float = 0.1
    """Fraction of the pooled train and val images that becomes val, drawn by patient and stratified by
    class; 0 keeps the source's own val, which in the public dataset has 16 images."""
    shards: int = 0
    """Shards of each split; 0 chooses 1 to 16 by the number of images."""
    seed: int = 0
    """Of the validation split and of the order of the records."""
    on_error: Literal["stop", "skip"] = "stop"
    """What to do about images that cannot be read: list them all and stop, or leave them out and note
    them in dataset.json."""
    workers: int = os.cpu_count() or 1
    """Threads that decode images."""
    overwrite: bool = False
    """Replace records that are there already."""

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.val_fraction <= 1:
            raise ValueError(f"val_fraction must be 0 to 0.5. Received: {self.val_fraction}")
        if self.shards < 0:
            raise ValueError(f"shards must not be negative. Received: {self.shards}")
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1. Received: {self.workers}")


@dataclasses.dataclass(frozen=True)
class _BuiltShard:
    split: Split
    unfinished: str
    shard: Shard
    records: tuple[SourceImage, ...]
    left_out: tuple[LeftOut, ...]


def build(config: BuildConfig) -> Manifest:
    """Builds the records; they appear under their final names when all of them are whole.

    Returns:
        What `dataset.json` holds.

    Raises:
        UserError: if the source has no usable images, cannot be read, or other records are in the way.
    """
    import tensorflow as tf

    if (existing := _existing(config)) is not None:
        logger.info("%s is built already; --overwrite builds it anew", config.records)
        return existing
    cv2.setNumThreads(1)  # the workers are the threads
    images = draw_validation(find_images(config.source), config.val_fraction, config.seed)
    plan = plan_shards(images, config)
    tf.io.gfile.makedirs(config.records)
    built: list[_BuiltShard] = []
    try:
        with ThreadPoolExecutor(config.workers) as pool:
            read = functools.partial(read_image, config.source, config.preprocessing, config.encoding)
            work = _ordered(pool, read, [image for _, _, part in plan for image in part], config.workers)
            done = progress(work, len(images), "building")
            for split, name, part in plan:
                built.append(_write_shard(config.records, split, name, part, done))
        content = _content(config, built)
        _publish(config.records, content, built)
    finally:
        for unfinished in tf.io.gfile.glob(f"{config.records.rstrip('/')}/*.{os.getpid()}.tmp"):
            tf.io.gfile.remove(unfinished)
    return content


def plan_shards(
    images: Sequence[SourceImage], config: BuildConfig
) -> list[tuple[Split, str, list[SourceImage]]]:
    """Which images go to which shard: every split in the order of a seeded hash, cut into equal parts."""
    plan: list[tuple[Split, str, list[SourceImage]]] = []
    for split in SPLITS:
        of_split = [image for image in images if image.split == split]
        of_split.sort(key=lambda image: seeded_hash(config.seed, image.source))
        wanted = config.shards or math.ceil(len(of_split) / RECORDS_PER_SHARD_BY_DEFAULT)
        count = min(len(of_split), wanted if config.shards else min(wanted, MOST_SHARDS_BY_DEFAULT))
        cuts = [len(of_split) * index // count for index in range(count + 1)] if count else []
        for index in range(count):
            part = of_split[cuts[index] : cuts[index + 1]]
            plan.append((split, shard_name(split, index, count), part))
    return plan


def read_image(
    folder: str, preprocessing: Preprocessing, encoding: Encoding, image: SourceImage
) -> bytes | LeftOut:
    """The serialized record of one image, or why there is none."""
    try:
        encoded = (Path(folder) / image.source).read_bytes()
        pixels = preprocessing.apply(encoded)
    except OSError as error:
        return LeftOut(image.source, f"cannot be read: {error.strerror}")
    except UnreadableImage as error:
        return LeftOut(image.source, str(error))
    record = Record(
        image=_encode(pixels, encoding),
        label=image.label,
        patient=image.patient,
        source=image.source,
        subtype=image.subtype,
        sha256=hashlib.sha256(encoded).hexdigest(),
    )
    return serialize(record)


def _encode(pixels: NDArray[np.uint8], encoding: Encoding) -> bytes:
    if encoding == "raw":
        return pixels.tobytes()
    parameters = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if encoding == "jpeg" else []
    return cv2.imencode(f".{encoding}", pixels, parameters)[1].tobytes()


def _ordered(
    pool: ThreadPoolExecutor, function: Callable[[ItemT], ResultT], items: Sequence[ItemT], workers: int
) -> Iterator[ResultT]:
    """`map` of a pool that runs only so far ahead of whoever takes its results."""
    pending: collections.deque[Future[ResultT]] = collections.deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > IMAGES_AHEAD_PER_WORKER * workers:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _write_shard(
    folder: str, split: Split, name: str, part: Sequence[SourceImage], results: Iterator[bytes | LeftOut]
) -> _BuiltShard:
    import tensorflow as tf

    unfinished = f"{folder.rstrip('/')}/{name}.{os.getpid()}.tmp"
    records, left_out = [], []
    with tf.io.TFRecordWriter(unfinished) as writer:
        for image in part:
            result = next(results)
            if isinstance(result, LeftOut):
                left_out.append(result)
            else:
                writer.write(result)
                records.append(image)
    with tf.io.gfile.GFile(unfinished, "rb") as file:
        data = file.read()
    shard = Shard(name, len(records), len(data), hashlib.sha256(data).hexdigest())
    return _BuiltShard(split, unfinished, shard, tuple(records), tuple(left_out))


def _content(config: BuildConfig, built: Sequence[_BuiltShard]) -> Manifest:
    """`dataset.json` of the shards built.

    Raises:
        UserError: if images are left out that must not be.
    """
    left_out = tuple(sorted((entry for shard in built for entry in shard.left_out), key=lambda e: e.source))
    for entry in left_out:
        logger.warning("left out: %s: %s", entry.source, entry.reason)
    if left_out and config.on_error == "stop":
        raise UserError(
            f"{len(left_out)} images of {config.source!r} cannot be read (listed above), the first is "
            f"{left_out[0].source!r}: mend or remove them, or leave them out with --on-error skip"
        )
    splits = {}
    for split in SPLITS:
        of_split = [shard for shard in built if shard.split == split]
        images = [image for shard in of_split for image in shard.records]
        labels = collections.Counter(image.label for image in images)
        if of_split and len(labels) < len(CLASS_NAMES):
            raise UserError(f"no readable image of one class is left in {split!r}: both classes are needed")
        if of_split:
            splits[split] = SplitContent(
                shards=tuple(shard.shard for shard in of_split),
                classes={name: labels[label] for label, name in enumerate(CLASS_NAMES)},
                patients=len({image.patient for image in images}),
            )
    return Manifest(
        preprocessing=config.preprocessing,
        encoding=config.encoding,
        builder_version=__version__,
        arguments=_arguments(config),
        splits=splits,
        left_out=left_out,
    )


def _arguments(config: BuildConfig) -> dict[str, Any]:
    """The settings that decide what is in the shards, apart from the preprocessing and the encoding."""
    return {name: getattr(config, name) for name in ("val_fraction", "shards", "seed", "on_error")}


def _publish(folder: str, content: Manifest, built: Sequence[_BuiltShard]) -> None:
    """Gives the shards their final names, `dataset.json` last: who reads it finds all that it names."""
    import tensorflow as tf

    folder = folder.rstrip("/")
    final = f"{folder}/{manifest.FILE_NAME}"
    for old in tf.io.gfile.glob(f"{folder}/*.tfrecord") + tf.io.gfile.glob(final):
        tf.io.gfile.remove(old)
    for shard in built:
        tf.io.gfile.rename(shard.unfinished, f"{folder}/{shard.shard.name}")
    unfinished = f"{final}.{os.getpid()}.tmp"
    with tf.io.gfile.GFile(unfinished, "w") as file:
        file.write(content.to_json())
    tf.io.gfile.rename(unfinished, final)


def _existing(config: BuildConfig) -> Manifest | None:
    """The records that are there already, if they are what is asked for.

    Raises:
        UserError: if they are not.
    """
    import tensorflow as tf

    if config.overwrite or not tf.io.gfile.exists(f"{config.records.rstrip('/')}/{manifest.FILE_NAME}"):
        return None
    existing = manifest.load(config.records)
    asked = _arguments(config) | {"encoding": config.encoding, "preprocessing": config.preprocessing}
    there = existing.arguments | {"encoding": existing.encoding, "preprocessing": existing.preprocessing}
    for name, value in asked.items():
        if there.get(name) != value:
            raise UserError(
                f"{config.records!r} holds records made with {name}={there.get(name)}, not {value}: "
                "choose another folder, or replace them with --overwrite"
            )
    return existing
