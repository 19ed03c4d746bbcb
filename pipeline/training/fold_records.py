"""The records of a training in folds: `train` and `val` together, cut by patient into equal parts.

The records of each part are copied once, into a shard of their own. For each fold, a folder with nothing but
a `dataset.json` then names the shards of the other parts as `train` and that of its own part as `val`. So
every command that reads records can read those of a fold.
"""

import contextlib
import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.input.arrays import load_labels, load_origins
from pipeline.input.examples import read_in_order, refusing_damage
from pipeline.input.stored_split import open_split
from tfrecords_builder import manifest, ownership, storage
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Manifest, Shard, SplitContent
from tfrecords_builder.ownership import OwnedFiles
from tfrecords_builder.record_index import PlacedExample, place
from tfrecords_builder.records import CLASS_NAMES, Split, deserialize
from tfrecords_builder.shards import new_shard

SPLITS: tuple[Split, ...] = ("train", "val")
"""The splits that are cut into folds."""
FOLD_RECORDS = OwnedFiles(
    "records of folds",
    {
        r"fold-\d+\.(tfrecord|index)": b"",
        rf"\d+/{re.escape(manifest.FILE_NAME)}": b'"builder_version"',
    },
)


@dataclasses.dataclass(frozen=True)
class _Part:
    """The images of one fold, as they stand in its shard."""

    shard: Shard
    labels: NDArray[np.int64]
    patients: frozenset[str]
    lungs: int

    @property
    def classes(self) -> Counter[str]:
        return Counter(CLASS_NAMES[label] for label in self.labels)


def write_fold_records(records: str, folder: str, folds: int, seed: int) -> list[str]:
    """Writes the records of all folds. The same arguments always write the same bytes.

    Args:
        records: folder of the records; a path or a URL.
        folder: folder to write to; a path or a URL.
        folds: number of folds.
        seed: seed of the random choice of patients.

    Returns:
        For each fold its records folder.

    Raises:
        UserError: if a class has fewer patients than there are folds, or a shard is damaged.
    """
    content = manifest.load(records)
    origins = [origin for split in SPLITS for origin in load_origins(records, split)]
    labels = np.concatenate([load_labels(records, split) for split in SPLITS])
    patients = [origin["patient"] for origin in origins]
    fold_of_record = assign_folds(labels, patients, folds, seed)
    parts = _write_parts(records, folder, labels, patients, fold_of_record)
    paths = []
    for fold in range(folds):
        path = storage.join(folder, str(fold + 1))
        others = [part for number, part in enumerate(parts) if number != fold]
        splits: dict[Split, SplitContent] = {"train": _content(others), "val": _content([parts[fold]])}
        text = dataclasses.replace(content, splits=splits, left_out=()).to_json()
        storage.write(storage.join(path, manifest.FILE_NAME), text)
        paths.append(path)
    return paths


def delete_fold_records(folder: str) -> None:
    """Deletes what `write_fold_records` wrote, if there is something."""
    ownership.delete_owned(folder, FOLD_RECORDS)
    storage.remove_empty_folder(folder)


def check_folds(content: Manifest, folds: int) -> None:
    """Refuses more folds than there are patients.

    Raises:
        UserError: if there are too few.
    """
    patients = sum(content.splits[split].patients for split in SPLITS)
    if patients < folds:
        raise UserError(f"--folds {folds} needs as many patients, but train and val have {patients} together")


def assign_folds(
    labels: NDArray[np.int64], patients: Sequence[str], folds: int, seed: int
) -> NDArray[np.int64]:
    """Assigns every image to a fold: all images of a patient to the same, each class evenly to all.

    Args:
        labels: shape (n,), 0 or 1.
        patients: the patient of each image.
        folds: number of folds.
        seed: seed of the random choice.

    Returns:
        The fold of each image, counted from 0, shape (n,).

    Raises:
        UserError: if a class has fewer patients than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second to load

    for label, name in enumerate(CLASS_NAMES):
        count = len({patient for patient, of in zip(patients, labels, strict=True) if of == label})
        if count < folds:
            raise UserError(
                f"--folds {folds} needs {folds} patients of each class in train and val together, but only "
                f"{count} are {name}: give fewer folds"
            )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    fold_of_record = np.empty(len(labels), np.int64)
    for fold, (_, chosen) in enumerate(splitter.split(labels, labels, patients)):
        fold_of_record[chosen] = fold
    return fold_of_record


def _write_parts(
    records: str,
    folder: str,
    labels: NDArray[np.int64],
    patients: Sequence[str],
    fold_of_record: NDArray[np.int64],
) -> list[_Part]:
    """Copies every record to the shard of its fold, in the order in which they are stored."""
    folds = int(fold_of_record.max()) + 1
    with_lungs = [0] * folds
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(new_shard(folder, f"fold-{fold + 1}.tfrecord")) for fold in range(folds)
        ]
        for fold, placed in zip(fold_of_record, _examples(records), strict=True):
            writers[fold].write(placed)
            with_lungs[fold] += placed.lungs is not None
    parts = []
    for fold, writer in enumerate(writers):
        chosen = np.flatnonzero(fold_of_record == fold)
        shard = dataclasses.replace(writer.shard, name=f"../{writer.shard.name}")
        of_fold = frozenset(patients[int(position)] for position in chosen)
        parts.append(_Part(shard, labels[chosen], of_fold, with_lungs[fold]))
    return parts


def _examples(records: str) -> Iterator[PlacedExample]:
    """The serialized records of all splits."""
    for split in SPLITS:
        with refusing_damage(records):
            for example in read_in_order(open_split(records, split, batch_size=1)).as_numpy_iterator():
                yield place(example, deserialize(example))


def _content(parts: Sequence[_Part]) -> SplitContent:
    classes = sum((part.classes for part in parts), Counter())
    return SplitContent(
        shards=tuple(part.shard for part in parts),
        classes={name: classes[name] for name in CLASS_NAMES},
        patients=len(frozenset().union(*(part.patients for part in parts))),
        lungs=sum(part.lungs for part in parts),
    )
