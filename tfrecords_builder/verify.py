"""`python -m tfrecords_builder.verify RECORDS`: reads every byte of the records and says what is wrong.

Checked are `dataset.json` (its own digest), every shard (size, digest, the CRCs of its records), every
record (schema, label, image size), the counts, and that no patient is both in `train` and in `val`.
"""

import collections
import dataclasses
import hashlib
import logging
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import cv2
import numpy as np
import tyro

from tfrecords_builder import manifest
from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.manifest import Manifest, Shard, SplitContent
from tfrecords_builder.records import CLASS_NAMES, Record, Split, deserialize

EXIT_DAMAGED = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class VerifyConfig:
    """Checks records byte by byte and names every fault; the exit code is 1 if there is one.

    Raises:
        ValueError: for settings that check nothing.
    """

    records: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECORDS")]
    """Folder of records, as `python -m tfrecords_builder` writes it; a path or a URL."""
    workers: int = os.cpu_count() or 1
    """Threads; each checks a shard."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1. Received: {self.workers}")


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something that is not as it was built."""

    where: str
    """File, and record (counted from 0) where there is one."""
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclasses.dataclass(frozen=True)
class _Read:
    """What a shard turned out to hold."""

    faults: list[Fault]
    labels: collections.Counter[int]
    patients: set[str]
    sources: list[str]


def verify(config: VerifyConfig) -> list[Fault]:
    """Checks a folder of records.

    Returns:
        All faults; none if the records are as they were built.

    Raises:
        UserError: if the folder has no `dataset.json`.
    """
    folder = config.records.rstrip("/")
    text = manifest.read_text(folder)
    try:
        content = Manifest.from_json(text)
    except ValueError as error:
        return [Fault(manifest.FILE_NAME, str(error))]
    faults = []
    if text != content.to_json():
        faults.append(Fault(manifest.FILE_NAME, "not as it was written, though it means the same"))
    faults += _unknown_shards(folder, content)
    read = _read_shards(folder, content, config.workers)
    for split, told in content.splits.items():
        of_split = [read[shard.name] for shard in told.shards]
        faults += [fault for shard in of_split for fault in shard.faults]
        if not any(shard.faults for shard in of_split):  # else the counts are wrong for that reason
            faults += _count_faults(split, told, of_split)
    return faults + _repeated_sources(read.values()) + _shared_patients(content, read)


def _read_shards(folder: str, content: Manifest, workers: int) -> dict[str, _Read]:
    shards = [shard for split in content.splits.values() for shard in split.shards]
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(lambda shard: _read_shard(folder, shard, content), shards)
        return {
            shard.name: read
            for shard, read in zip(shards, progress(results, len(shards), "verifying"), strict=True)
        }


def _read_shard(folder: str, shard: Shard, content: Manifest) -> _Read:
    read = _Read([], collections.Counter(), set(), [])
    read.faults.extend(_file_faults(f"{folder}/{shard.name}", shard))
    number = 0
    for number, serialized in enumerate(_records(f"{folder}/{shard.name}", shard, read.faults), start=1):
        where = f"{shard.name}: record {number - 1}"
        try:
            record = deserialize(serialized)
        except ValueError as error:
            read.faults.append(Fault(where, str(error)))
            continue
        read.faults.extend(Fault(where, what) for what in _record_faults(record, content))
        read.labels[record.label] += 1
        read.patients.add(record.patient)
        read.sources.append(record.source)
    if not read.faults and number != shard.records:
        read.faults.append(Fault(shard.name, f"{number} records, dataset.json says {shard.records}"))
    return read


def _file_faults(path: str, shard: Shard) -> Iterator[Fault]:
    import tensorflow as tf

    digest = hashlib.sha256()
    size = 0
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                size += len(block)
    except tf.errors.OpError as error:
        yield Fault(shard.name, f"cannot be read: {error.message}")
        return
    if size != shard.bytes:
        yield Fault(shard.name, f"{size} bytes, dataset.json says {shard.bytes}")
    elif digest.hexdigest() != shard.sha256:
        yield Fault(shard.name, "its sha256 is not the one in dataset.json")


def _records(path: str, shard: Shard, faults: list[Fault]) -> Iterator[bytes]:
    """The records up to the first whose frame is damaged, which is added to the faults."""
    import tensorflow as tf

    number = 0
    try:
        for serialized in tf.data.TFRecordDataset(path).as_numpy_iterator():
            yield serialized
            number += 1
    except tf.errors.NotFoundError:
        return  # said already
    except tf.errors.OpError as error:
        reason = error.message.partition("[Op:")[0].partition("{{")[0].strip()
        what = f"damaged ({reason}); what follows cannot be read"
        faults.append(Fault(f"{shard.name}: record {number}", what))


def _record_faults(record: Record, content: Manifest) -> Iterator[str]:
    side = content.preprocessing.image_size
    if record.label not in range(len(CLASS_NAMES)):
        yield f"label {record.label}, expected 0 or 1"
    if not _SHA256.fullmatch(record.sha256):
        yield f"sha256 is {record.sha256!r}"
    if content.encoding == "raw":
        if len(record.image) != side * side:
            yield f"{len(record.image)} bytes of pixels, expected {side * side}"
        return
    pixels = cv2.imdecode(np.frombuffer(record.image, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape != (side, side):
        yield f"image is not a gray {content.encoding.upper()} of {side}x{side} pixels"


def _count_faults(split: Split, told: SplitContent, shards: list[_Read]) -> Iterator[Fault]:
    labels = sum((shard.labels for shard in shards), collections.Counter[int]())
    classes = {name: labels[label] for label, name in enumerate(CLASS_NAMES)}
    patients = len(set[str]().union(*(shard.patients for shard in shards)))
    if classes != told.classes:
        yield Fault(manifest.FILE_NAME, f"{split} has {classes}, not {told.classes}")
    if patients != told.patients:
        yield Fault(manifest.FILE_NAME, f"{split} has {patients} patients, not {told.patients}")


def _unknown_shards(folder: str, content: Manifest) -> list[Fault]:
    import tensorflow as tf

    known = {shard.name for split in content.splits.values() for shard in split.shards}
    there = (path.rpartition("/")[2] for path in tf.io.gfile.glob(f"{folder}/*.tfrecord"))
    return [Fault(name, "not named in dataset.json") for name in sorted(there) if name not in known]


def _repeated_sources(shards: Iterable[_Read]) -> list[Fault]:
    counts = collections.Counter(source for shard in shards for source in shard.sources)
    return [Fault(source, f"in {count} records") for source, count in counts.items() if count > 1]


def _shared_patients(content: Manifest, read: dict[str, _Read]) -> list[Fault]:
    """Patients both in train and in val; those that the source's own `test` shares are only said."""
    patients = {
        split: set[str]().union(*(read[shard.name].patients for shard in told.shards))
        for split, told in content.splits.items()
    }
    learnt_from = patients.get("train", set()) | patients.get("val", set())
    if in_test := learnt_from & patients.get("test", set()):
        logger.warning(
            "%d patients of test are in train or val too, by their names, as they are in the source: %s ...",
            len(in_test),
            ", ".join(sorted(in_test)[:5]),
        )
    shared = patients.get("train", set()) & patients.get("val", set())
    return [Fault(patient, "a patient both in train and in val") for patient in sorted(shared)]


def main(config: VerifyConfig) -> int:
    """Prints the faults, one a line, or that there are none."""
    startup.load_tensorflow()
    faults = verify(config)
    for fault in faults:
        print(fault)  # noqa: T201
    if faults:
        logger.error("%d faults in %s: build the records anew with --overwrite", len(faults), config.records)
        return EXIT_DAMAGED
    print(f"{config.records}: as it was built")  # noqa: T201
    return 0


if __name__ == "__main__":
    run(main, VerifyConfig, "python -m tfrecords_builder.verify")
