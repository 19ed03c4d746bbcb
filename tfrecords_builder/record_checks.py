"""Finds what is wrong with a folder of records.

It checks `dataset.json` (its own digest), every shard (size, digest, the CRCs of its records) and its index,
every record (its features, label and image size), the counts, and that no patient is both in `train` and in
`val`.
"""

import collections
import dataclasses
import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import tensorflow as tf

from tfrecords_builder import manifest, record_index, storage
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.manifest import Manifest, Shard, SplitContent
from tfrecords_builder.record_index import IndexBuilder, place
from tfrecords_builder.records import CLASS_NAMES, Record, Split, deserialize, num_packed_bytes
from tfrecords_builder.shards import size_and_digest

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PATIENTS_SHOWN = 5  # in a warning
_OPERATION = re.compile(r"\{\{.*?\}\}|\[Op:.*", re.DOTALL)  # in messages of TensorFlow

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something that is not as it was built."""

    where: str
    """File, and number of the record (the first is 0) if it is in a record."""
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclasses.dataclass(frozen=True)
class _ShardContent:
    """What a shard holds, by reading it."""

    faults: list[Fault] = dataclasses.field(default_factory=list)
    labels: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    has_lungs: collections.Counter[bool] = dataclasses.field(default_factory=collections.Counter)
    patients: set[str] = dataclasses.field(default_factory=set)
    sources: list[str] = dataclasses.field(default_factory=list)


def find_faults(records: str, workers: int = 1) -> list[Fault]:
    """Reads a folder of records and returns its faults. There are none if it is as it was built.

    Args:
        records: folder of the records; a path or a URL.
        workers: number of threads; each reads one shard at a time.

    Raises:
        UserError: if the folder has no `dataset.json`.
    """
    try:
        text = manifest.read_text(records)
        content = Manifest.from_json(text)
    except ValueError as error:
        return [Fault(manifest.FILE_NAME, str(error))]
    faults = []
    if not manifest.is_as_written(text):
        faults.append(Fault(manifest.FILE_NAME, "its text was changed, although its content is the same"))
    faults += _unknown_shards(records, content)
    shards = _read_shards(records, content, workers)
    for split, described in content.splits.items():
        in_split = [shards[shard.name] for shard in described.shards]
        faults += [fault for shard in in_split for fault in shard.faults]
        if not any(shard.faults for shard in in_split):  # otherwise the counts are wrong for that reason
            faults += _count_faults(split, described, in_split)
    return faults + _repeated_sources(shards.values()) + _shared_patients(content, shards)


def _unknown_shards(folder: str, content: Manifest) -> list[Fault]:
    known = {name for split in content.splits.values() for name in split.files}
    names = (name for name, _ in storage.entries(folder) if name.endswith((".tfrecord", ".index")))
    return [
        Fault(name, "dataset.json does not name this file") for name in sorted(names) if name not in known
    ]


def _read_shards(folder: str, content: Manifest, workers: int) -> dict[str, _ShardContent]:
    """Reads all shards; returns their contents by name."""
    shards = [shard for split in content.splits.values() for shard in split.shards]
    with ThreadPoolExecutor(workers) as pool:
        contents = pool.map(lambda shard: _read_shard(folder, shard, content), shards)
        names = [shard.name for shard in shards]
        return dict(zip(names, progress(contents, len(shards), "verifying"), strict=True))


def _read_shard(folder: str, shard: Shard, content: Manifest) -> _ShardContent:
    path = storage.join(folder, shard.name)
    found = _ShardContent(faults=list(_file_faults(path, shard)))
    num_records, index = 0, IndexBuilder()
    for number, serialized in enumerate(_read_records(path, shard, found.faults)):
        num_records += 1
        where = f"{shard.name}: record {number}"
        try:
            record = deserialize(serialized)
        except ValueError as error:
            found.faults.append(Fault(where, str(error)))
            continue
        found.faults.extend(Fault(where, what) for what in _record_faults(record, content))
        found.labels[record.label] += 1
        found.has_lungs[bool(record.lungs)] += 1
        found.patients.add(record.patient)
        found.sources.append(record.source)
        index.add(place(serialized, record))
    if not found.faults and num_records != shard.records:
        found.faults.append(
            Fault(shard.name, f"has {num_records} records, dataset.json says {shard.records}")
        )
    if shard.index_sha256 is not None:
        found.faults.extend(_index_faults(folder, shard, None if found.faults else index.encoded))
    return found


def _index_faults(folder: str, shard: Shard, expected: bytes | None) -> Iterator[Fault]:
    """Checks the index of a shard.

    Args:
        folder: folder of the records.
        shard: the shard.
        expected: the index of what the shard holds; None if the shard has faults.
    """
    name = record_index.file_name(shard.name)
    try:
        stored = storage.read_bytes(storage.join(folder, name))
    except (OSError, tf.errors.OpError) as error:
        yield Fault(name, f"cannot be read: {_reason(error)}")
        return
    if hashlib.sha256(stored).hexdigest() != shard.index_sha256:
        yield Fault(name, "its sha256 differs from the one in dataset.json")
    elif expected is not None and stored != expected:
        yield Fault(name, "it does not say where the records of its shard are")


def _file_faults(path: str, shard: Shard) -> Iterator[Fault]:
    try:
        num_bytes, digest = size_and_digest(path)
    except (OSError, tf.errors.OpError) as error:
        yield Fault(shard.name, f"cannot be read: {_reason(error)}")
        return
    if num_bytes != shard.bytes:
        yield Fault(shard.name, f"has {num_bytes} bytes, dataset.json says {shard.bytes}")
    elif digest != shard.sha256:
        yield Fault(shard.name, "its sha256 differs from the one in dataset.json")


def _read_records(path: str, shard: Shard, faults: list[Fault]) -> Iterator[bytes]:
    """Reads the records up to the first that is damaged, and adds that one to the faults."""
    number = 0
    try:
        for serialized in tf.data.TFRecordDataset(path).as_numpy_iterator():
            yield serialized
            number += 1
    except tf.errors.NotFoundError:
        return  # `_file_faults` has reported it
    except tf.errors.OpError as error:
        what = f"is damaged ({_reason(error)}), so the records after it cannot be read"
        faults.append(Fault(f"{shard.name}: record {number}", what))


def _reason(error: OSError | tf.errors.OpError) -> str:
    """What the system or TensorFlow says about a file, without the name of an operation around it."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return _OPERATION.sub("", error.message).strip(" '") or type(error).__name__


def _record_faults(record: Record, content: Manifest) -> Iterator[str]:
    side = content.preprocessing.image_size
    if record.label not in range(len(CLASS_NAMES)):
        yield f"has label {record.label}, expected 0 or 1"
    if not _SHA256.fullmatch(record.sha256):
        yield f"has the sha256 {record.sha256!r}, expected 64 hexadecimal digits"
    for name, mask in (("lung mask", record.lungs), ("lesion mask", record.lesions)):
        if mask and len(mask) != num_packed_bytes(side):
            yield f"has {len(mask)} bytes of {name}, expected {num_packed_bytes(side)} or none"
    if record.width == 0 or record.height == 0:
        yield f"has an original of {record.width}x{record.height} pixels"
    yield from _image_faults(record.image, content)


def _image_faults(image: bytes, content: Manifest) -> Iterator[str]:
    side = content.preprocessing.image_size
    if content.encoding == "raw":
        if len(image) != side * side:
            yield f"has {len(image)} bytes of pixels, expected {side * side}"
        return
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape != (side, side):
        yield f"its image is not a gray {content.encoding.upper()} of {side}x{side} pixels"


def _count_faults(split: Split, described: SplitContent, shards: Sequence[_ShardContent]) -> Iterator[Fault]:
    labels = sum((shard.labels for shard in shards), collections.Counter[int]())
    classes = {name: labels[label] for label, name in enumerate(CLASS_NAMES)}
    num_patients = len(_patients(shards))
    if classes != described.classes:
        yield Fault(manifest.FILE_NAME, f"says that {split} has {described.classes}, it has {classes}")
    if (lungs := sum(shard.has_lungs[True] for shard in shards)) != described.lungs:
        what = f"says that {split} has {described.lungs} lung masks, it has {lungs}"
        yield Fault(manifest.FILE_NAME, what)
    if num_patients != described.patients:
        what = f"says that {split} has {described.patients} patients, it has {num_patients}"
        yield Fault(manifest.FILE_NAME, what)


def _patients(shards: Iterable[_ShardContent]) -> set[str]:
    return {patient for shard in shards for patient in shard.patients}


def _repeated_sources(shards: Iterable[_ShardContent]) -> list[Fault]:
    counts = collections.Counter(source for shard in shards for source in shard.sources)
    return [Fault(source, f"is in {count} records") for source, count in counts.items() if count > 1]


def _shared_patients(content: Manifest, shards: Mapping[str, _ShardContent]) -> list[Fault]:
    """Reports patients who are both in train and in val.

    Patients who are also in `test` are only logged: the source may say so.
    """
    patients = {
        split: _patients(shards[shard.name] for shard in described.shards)
        for split, described in content.splits.items()
    }
    train, val, test = (patients.get(split, set()) for split in ("train", "val", "test"))
    if in_test := (train | val) & test:
        logger.warning(
            "%d patients of test are also in train or val, by their names; the source has them so: %s ...",
            len(in_test),
            ", ".join(sorted(in_test)[:_PATIENTS_SHOWN]),
        )
    return [Fault(patient, "this patient is both in train and in val") for patient in sorted(train & val)]
