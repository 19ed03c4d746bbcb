"""Finds the X-rays that a CSV or Parquet table lists, with their classes, patients and splits."""

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tfrecords_builder.errors import UserError
from tfrecords_builder.records import CLASS_NAMES, NORMAL, PNEUMONIA, SPLITS, Split
from tfrecords_builder.source import table_rows
from tfrecords_builder.source.file_names import patient_and_subtype
from tfrecords_builder.source.images import SUBTYPES, SourceImage, check_classes

VALUE_SEPARATOR = "|"
"""Separates several findings of one image in one cell, as in Pneumonia|Effusion."""

_WHOLE_NUMBER = re.compile(r"(-?\d+)\.0*")
_VALUES_SHOWN = 5  # in an error message


@dataclasses.dataclass(frozen=True)
class TableColumns:
    """Columns of a table: only used if SOURCE is a .csv or .parquet file.

    Raises:
        ValueError: if the columns cannot name an image and its class.
    """

    path: str = "path"
    """Column of the paths of the image files."""
    label: str = "label"
    """Column that decides the class. A cell may hold several values, separated by `|`."""
    positive: tuple[str, ...] = ("1", "PNEUMONIA")
    """Values that mean PNEUMONIA, in upper or lower case. Every other value, and an empty cell, means
    NORMAL."""
    patient: str | None = None
    """Column of the patients; by default `patient` if the table has it. Without a column, or where its cell
    is empty, the patient is read from the file name. An empty name uses no column."""
    split: str | None = None
    """Column of the splits (train, val or test); by default `split` if the table has it. Without a column,
    splits are drawn by patient. An empty name uses no column."""
    subtype: str | None = None
    """Column of the subtypes (bacteria, virus or empty); by default `subtype` if the table has it. Without a
    column, the subtype is read from the file name. An empty name uses no column."""
    images: str = ""
    """Folder that relative paths start from; by default the folder of the table."""
    suffix: str = ""
    """Suffix that is added to every path, for example .dcm if the column has names without it."""

    def __post_init__(self) -> None:
        if not self.path or not self.label:
            raise ValueError(
                f"the columns of path and label must not be empty. Received: {self.path!r}, {self.label!r}"
            )
        if not any(value.strip() for value in self.positive):
            raise ValueError(f"positive must have values that mean PNEUMONIA. Received: {self.positive}")


def is_table(source: str) -> bool:
    """Whether a source is a table, by its name, and not a folder."""
    return source.lower().endswith(table_rows.SUFFIXES) and not Path(source).is_dir()


def images_folder(file: str, columns: TableColumns) -> str:
    """The folder that the paths of a table's images are relative to."""
    return columns.images or str(Path(file).parent)


def read_table(file: str, columns: TableColumns) -> list[SourceImage]:
    """Reads the images that a table lists, in its order. Rows that say the same about one image count once.

    Args:
        file: .csv (UTF-8, commas, a header) or .parquet.
        columns: which columns to read.

    Returns:
        One entry per image, with its path as written. All are in `train` if there is no column of splits.

    Raises:
        UserError: if the table cannot be read, contradicts itself or lacks something. The message names the
            row and the column.
    """
    used = _resolve_columns(file, table_rows.read_column_names(file), columns)
    names = (used.path, used.label, used.patient, used.split, used.subtype)
    first_rows: dict[str, tuple[int, SourceImage]] = {}
    num_rows_of_label: Counter[str] = Counter()
    for number, cells in table_rows.read_rows(file, {name for name in names if name}):
        image = _to_image(f"{file!r}, row {number}", cells, used)
        first_number, first = first_rows.setdefault(image.source, (number, image))
        if first != image:
            difference = _difference(first, image)
            raise UserError(f"{file!r}, rows {first_number} and {number} contradict each other: {difference}")
        num_rows_of_label[cells[used.label]] += 1
    images = [image for _, image in first_rows.values()]
    _check(file, used, images, num_rows_of_label)
    return images


def _resolve_columns(file: str, names: Sequence[str], columns: TableColumns) -> TableColumns:
    """Replaces the defaults of optional columns by their names, or by empty names where the table lacks them.

    Raises:
        UserError: if the table lacks a column.
    """

    def resolve(field: str, name: str | None) -> str:
        return (field if field in names else "") if name is None else name

    used = dataclasses.replace(
        columns,
        patient=resolve("patient", columns.patient),
        split=resolve("split", columns.split),
        subtype=resolve("subtype", columns.subtype),
    )
    for field in ("path", "label", "patient", "split", "subtype"):
        name = getattr(used, field)
        if name and name not in names:
            raise UserError(
                f"{file!r} has no column {name!r}, it has {', '.join(map(repr, names)) or 'none'}: "
                f"name the right column with --table.{field}"
            )
    return used


def _to_image(row: str, cells: Mapping[str, str], used: TableColumns) -> SourceImage:
    if not cells[used.path]:
        raise UserError(f"{row}: column {used.path!r} is empty, expected the path of an image")
    path = cells[used.path] + used.suffix
    patient, subtype = patient_and_subtype(path)
    return SourceImage(
        source=path,
        split=_split(row, cells, used.split),
        label=PNEUMONIA if _values(cells[used.label]) & _values(*used.positive) else NORMAL,
        patient=(cells[used.patient] if used.patient else "") or patient,
        subtype=_subtype(row, cells, used.subtype) if used.subtype else subtype,
    )


def _values(*cells: str) -> set[str]:
    """The values in cells. `1` and `1.0`, or `Pneumonia` and `PNEUMONIA`, become the same value."""
    texts = {value.strip().casefold() for cell in cells for value in cell.split(VALUE_SEPARATOR)}
    return {
        _WHOLE_NUMBER.sub(r"\1", text) if _WHOLE_NUMBER.fullmatch(text) else text for text in texts if text
    }


def _split(row: str, cells: Mapping[str, str], column: str | None) -> Split:
    if not column:
        return "train"
    for split in SPLITS:
        if cells[column].lower() == split:
            return split
    raise UserError(f"{row}: column {column!r} is {cells[column]!r}, expected one of {', '.join(SPLITS)}")


def _subtype(row: str, cells: Mapping[str, str], column: str) -> str:
    if (subtype := cells[column].lower()) in ("", *SUBTYPES):
        return subtype
    raise UserError(
        f"{row}: column {column!r} is {cells[column]!r}, expected {', '.join(SUBTYPES)} or an empty cell; "
        'to ignore the column, add --table.subtype ""'
    )


def _difference(first: SourceImage, second: SourceImage) -> str:
    """Says in which field two rows of one image differ."""
    fields = [dataclasses.asdict(image) | {"label": CLASS_NAMES[image.label]} for image in (first, second)]
    name = next(name for name in fields[0] if fields[0][name] != fields[1][name])
    return f"the {name} of {first.source!r} is {fields[0][name]!r} and {fields[1][name]!r}"


def _check(
    file: str, used: TableColumns, images: Sequence[SourceImage], num_rows_of_label: Counter[str]
) -> None:
    """Refuses a table without images of both classes, or none of whose files exists.

    Raises:
        UserError: if the table is of no use.
    """
    if not images:
        raise UserError(f"{file!r} has no rows: expected one row for every image")
    if len({image.label for image in images}) < len(CLASS_NAMES):
        values = ", ".join(repr(value) for value, _ in num_rows_of_label.most_common(_VALUES_SHOWN))
        raise UserError(
            f"{file!r}: all images are {CLASS_NAMES[images[0].label]} by column {used.label!r}, whose most "
            f"frequent values are {values}; say with --table.positive which values mean "
            f"{CLASS_NAMES[PNEUMONIA]}"
        )
    check_classes(file, images)
    folder = Path(images_folder(file, used))
    # os.path.isfile, as Path.is_file raises an error for a name that is too long.
    if not any(os.path.isfile(folder / image.source) for image in images):  # noqa: PTH113
        raise UserError(
            f"none of the {len(images)} images of {file!r} exists, the first is "
            f"{str(folder / images[0].source)!r}: give the folder of the images with --table.images"
        )
