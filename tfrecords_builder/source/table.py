"""Finds the X-rays that a table lists, with their classes, patients and splits."""

import collections
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tfrecords_builder.errors import UserError
from tfrecords_builder.records import CLASS_NAMES, NORMAL, PNEUMONIA, SPLITS, Split
from tfrecords_builder.source import labels, table_rows
from tfrecords_builder.source.images import SUBTYPES, Details, FoundImage, check_classes
from tfrecords_builder.source.labels import LabelRules
from tfrecords_builder.source.names import split_of, whole_number
from tfrecords_builder.source.settings import TableOptions
from tfrecords_builder.source.table_columns import Columns, columns_like_patients, resolve_columns
from tfrecords_builder.source.table_paths import ImagePaths

_VALUES_SHOWN = 5  # in an error message


@dataclasses.dataclass(frozen=True)
class ListedImages:
    """What a table lists."""

    images: list[FoundImage]
    """One entry per image that has a label, in the order of the table."""
    notes: list[str]
    """Sentences about what the values of the labels became."""
    columns_like_patients: list[str]
    """Columns that are not read and look like patients."""


@dataclasses.dataclass(frozen=True)
class _Row:
    """What one row says about an image."""

    number: int
    labels: tuple[int, ...]
    """The labels of its readers, without those that are left out."""
    split: Split
    patient: str
    subtype: str
    kept: dict[str, str]
    """Text of the columns that are kept."""
    box: tuple[float, ...] | None
    """The box of a lesion, or None."""


def images_folder(file: str, options: TableOptions) -> str:
    """The folder that the paths of a table's images are relative to."""
    return options.images or str(Path(file).parent)


def read_table(file: str, options: TableOptions) -> ListedImages:
    """Reads the images that a table lists. All are in `train` if there is no column of splits.

    Args:
        file: a table, as `table_rows` describes it.
        options: which columns to read, and what their values mean.

    Raises:
        UserError: if the table cannot be read, contradicts itself or lacks something. The message names the
            row and the column.
    """
    names = table_rows.read_column_names(file)
    columns = resolve_columns(file, names, options)
    rules = LabelRules.from_options(options)
    paths = ImagePaths(images_folder(file, options))
    num_rows: collections.Counter[str] = collections.Counter()
    rows_of: dict[str, list[_Row]] = collections.defaultdict(list)
    for number, cells in table_rows.read_rows(file, columns.names):
        num_rows.update(cells[column] for column in columns.labels)
        where = f"{file!r}, row {number}"
        source = paths.find(_path(where, cells, columns, options))
        rows_of[source].append(_read_row(where, number, cells, columns, rules))
    labels.refuse_unknown(file, columns.labels, rules, num_rows)
    merged = (_merge(file, source, rows, columns, options) for source, rows in rows_of.items())
    images = [image for image in merged if image is not None]
    _check(file, columns, images, num_rows)
    paths.refuse_if_all_missing(file)
    return ListedImages(
        images, labels.describe(columns.labels, rules, num_rows), columns_like_patients(names, columns)
    )


def _path(where: str, cells: Mapping[str, str], columns: Columns, options: TableOptions) -> str:
    path = cells[columns.path]
    if not path or "\0" in path:
        received = repr(path) if path else "empty"
        raise UserError(f"{where}: column {columns.path!r} is {received}, expected the path of an image")
    return path if path.endswith(options.suffix) else path + options.suffix


def _read_row(where: str, number: int, cells: Mapping[str, str], columns: Columns, rules: LabelRules) -> _Row:
    return _Row(
        number=number,
        labels=tuple(rules.labels(cells[column] for column in columns.labels)),
        split=_split(where, cells, columns.split),
        patient=whole_number(cells[columns.patient]) if columns.patient else "",
        subtype=_subtype(where, cells, columns.subtype) if columns.subtype else "",
        kept={column: cells[column] for column in columns.keep},
        box=_box(where, cells, columns.box),
    )


def _split(where: str, cells: Mapping[str, str], column: str) -> Split:
    if not column:
        return "train"
    if split := split_of(cells[column]):
        return split
    raise UserError(f"{where}: column {column!r} is {cells[column]!r}, expected one of {', '.join(SPLITS)}")


def _subtype(where: str, cells: Mapping[str, str], column: str) -> str:
    if (subtype := cells[column].lower()) in ("", *SUBTYPES):
        return subtype
    raise UserError(
        f"{where}: column {column!r} is {cells[column]!r}, expected {', '.join(SUBTYPES)} or an empty cell; "
        'to ignore the column, add --table.subtype ""'
    )


def _box(where: str, cells: Mapping[str, str], columns: Sequence[str]) -> tuple[float, ...] | None:
    texts = [cells[column] for column in columns]
    if not any(texts):
        return None
    try:
        box = tuple(float(text) for text in texts)
    except ValueError:
        box = ()
    if not box or not all(map(math.isfinite, box)) or min(box[2:]) <= 0:
        raise UserError(
            f"{where}: columns {', '.join(map(repr, columns))} are {', '.join(map(repr, texts))}, expected "
            "left, top, width and height of a box in pixels, or four empty cells"
        )
    return box


def _merge(
    file: str, source: str, rows: Sequence[_Row], columns: Columns, options: TableOptions
) -> FoundImage | None:
    """What all rows of one image say about it, or None if no reader gives it a label.

    Raises:
        UserError: if the rows contradict each other.
    """
    read = [(row.number, label) for row in rows for label in row.labels]
    if not read:
        return None
    label = labels.combine([label for _, label in read], options.readers)
    if label is None:
        names = [(number, CLASS_NAMES[label]) for number, label in read]
        remedy = "; if they are of several readers, choose --table.readers any-positive or majority"
        raise _contradiction(file, source, "label", names, remedy)
    said = {
        field: _agreed(file, source, field, [(row.number, getattr(row, field)) for row in rows])
        for field in ("split", "patient", "subtype")
    }
    subtype = said["subtype"] if columns.subtype else None
    if options.readers != "agree" and label == NORMAL:
        subtype = ""  # of the readers who were overruled
    kept = {
        column: _agreed(file, source, column, [(row.number, row.kept[column]) for row in rows])
        for column in columns.keep
    }
    boxes = tuple(row.box for row in rows if row.box) if columns.box else None
    details = Details(tuple(kept.items()), boxes)
    return FoundImage(source, rows[0].split, label, source, said["patient"], subtype, details)


def _agreed(file: str, source: str, field: str, said: Iterable[tuple[int, str]]) -> str:
    """What rows say about an image; those with an empty text say nothing."""
    values = [(number, value) for number, value in said if value]
    if len({value for _, value in values}) > 1:
        raise _contradiction(file, source, field, values)
    return values[0][1] if values else ""


def _contradiction(
    file: str, source: str, field: str, said: Sequence[tuple[int, str]], remedy: str = ""
) -> UserError:
    (first_row, first), *others = said
    row, value = next((row, value) for row, value in others if value != first)
    rows = f"rows {first_row} and {row} contradict each other"
    if first_row == row:
        rows = f"row {row} contradicts itself"
    return UserError(f"{file!r}, {rows}: the {field} of {source!r} is {first!r} and {value!r}{remedy}")


def _check(
    file: str, columns: Columns, images: Sequence[FoundImage], num_rows: collections.Counter[str]
) -> None:
    """Refuses a table without images of both classes.

    Raises:
        UserError: if the table is of no use.
    """
    if not num_rows:
        raise UserError(f"{file!r} has no rows: expected one row for every image")
    if not images:
        raise UserError(f"{file!r}: the labels of all rows are left out; name fewer with --table.leave-out")
    if len({image.label for image in images}) < len(CLASS_NAMES):
        values = ", ".join(repr(value) for value, _ in num_rows.most_common(_VALUES_SHOWN))
        raise UserError(
            f"{file!r}: all images are {CLASS_NAMES[images[0].label]} by column {columns.labels[0]!r}, whose "
            f"most frequent values are {values}; say with --table.positive which values mean "
            f"{CLASS_NAMES[PNEUMONIA]}"
        )
    check_classes(file, images)
