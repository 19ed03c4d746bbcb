"""Finds the X-rays that a table lists, as a CSV or Parquet file: image, class, patient, split."""

import contextlib
import csv
import dataclasses
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfrecords_builder.errors import UserError
from tfrecords_builder.records import CLASS_NAMES, NORMAL, PNEUMONIA, SPLITS, Split
from tfrecords_builder.source.folders import SUBTYPES, SourceImage, check_classes, patient_and_subtype

SUFFIXES = (".csv", ".parquet")
VALUE_SEPARATOR = "|"  # of the findings of an image, in one cell: Pneumonia|Effusion

_WHOLE_NUMBER = re.compile(r"(-?\d+)\.0*")
_VALUES_SHOWN = 5  # in a complaint

Row = tuple[int, Mapping[str, str]]
"""Number, as an editor (CSV) or from 1 (Parquet), and the cells by column."""


@dataclasses.dataclass(frozen=True)
class TableColumns:
    """Where a table (SOURCE that is a .csv or .parquet file) says what.

    Raises:
        ValueError: for names that find no image and no class.
    """

    path: str = "path"
    """Column of the image files."""
    label: str = "label"
    """Column that decides the class; several values in one cell are separated by `|`."""
    positive: tuple[str, ...] = ("1", "PNEUMONIA")
    """Values that mean PNEUMONIA, in any case; every other value, and none, means NORMAL."""
    patient: str | None = None
    """Column of the patients; by default `patient`, if there is one; otherwise, and where it is empty, file
    names are read. An empty name uses none."""
    split: str | None = None
    """Column of train, val or test; by default `split`, if there is one; otherwise splits are drawn by
    patient. An empty name uses none."""
    subtype: str | None = None
    """Column of bacteria, virus or nothing; by default `subtype`, if there is one; otherwise file names are
    read. An empty name uses none."""
    images: str = ""
    """Folder that relative paths start from; by default the folder of the table."""
    suffix: str = ""
    """Added to every path, as .dcm where the column has names without it."""

    def __post_init__(self) -> None:
        if not self.path or not self.label:
            raise ValueError(
                f"table columns of path and label are needed. Received: {self.path!r}, {self.label!r}"
            )
        if not any(value.strip() for value in self.positive):
            raise ValueError(f"table values that mean PNEUMONIA are needed. Received: {self.positive}")


def is_table(source: str) -> bool:
    """Whether a source is a table, by its name, and not a folder."""
    return source.lower().endswith(SUFFIXES) and not Path(source).is_dir()


def images_folder(file: str, columns: TableColumns) -> str:
    """The folder that the `source` of a table's images is relative to."""
    return columns.images or str(Path(file).parent)


def read_table(file: str, columns: TableColumns) -> list[SourceImage]:
    """Reads which images a table lists, in its order; rows that say the same of an image are one.

    Args:
        file: .csv (UTF-8, commas, a header) or .parquet.
        columns: of the table.

    Returns:
        One entry per image, with its path as written; all in `train` if there is no column of splits.

    Raises:
        UserError: if the table cannot be read, contradicts itself or lacks something, naming row and column.
    """
    used = _used_columns(file, _parquet_names(file) if _is_parquet(file) else _csv_names(file), columns)
    found: dict[str, tuple[int, SourceImage]] = {}
    values: Counter[str] = Counter()
    for number, cells in _parquet_rows(file, used) if _is_parquet(file) else _csv_rows(file):
        image = _image(f"{file!r}, row {number}", cells, used)
        first_number, first = found.setdefault(image.source, (number, image))
        if first != image:
            what = _difference(first, image)
            raise UserError(f"{file!r}, rows {first_number} and {number} contradict each other: {what}")
        values[cells[used.label]] += 1
    images = [image for _, image in found.values()]
    _check(file, used, images, values)
    return images


def _used_columns(file: str, names: list[str], columns: TableColumns) -> TableColumns:
    """The columns with their defaults decided; an optional one that is not used is empty."""

    def optional(field: str, name: str | None) -> str:
        return (field if field in names else "") if name is None else name

    used = dataclasses.replace(
        columns,
        patient=optional("patient", columns.patient),
        split=optional("split", columns.split),
        subtype=optional("subtype", columns.subtype),
    )
    for field in ("path", "label", "patient", "split", "subtype"):
        name = getattr(used, field)
        if name and name not in names:
            raise UserError(
                f"{file!r} has no column {name!r}, it has {', '.join(map(repr, names)) or 'none'}: "
                f"name the right one with --table.{field}"
            )
    return used


def _image(row: str, cells: Mapping[str, str], used: TableColumns) -> SourceImage:
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
    """The values in cells, alike whether they are written `1` or `1.0`, `Pneumonia` or `PNEUMONIA`."""
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
        f"{row}: column {column!r} is {cells[column]!r}, expected {', '.join(SUBTYPES)} or nothing; "
        'to read no column of subtypes, add --table.subtype ""'
    )


def _difference(first: SourceImage, second: SourceImage) -> str:
    """What two rows of one image say differently."""
    said = [dataclasses.asdict(image) | {"label": CLASS_NAMES[image.label]} for image in (first, second)]
    field = next(field for field in said[0] if said[0][field] != said[1][field])
    return f"the {field} of {first.source!r} is {said[0][field]!r} and {said[1][field]!r}"


def _check(file: str, used: TableColumns, images: list[SourceImage], values: Counter[str]) -> None:
    """Refuses a table of no use to a classifier, or of other files than there are."""
    if not images:
        raise UserError(f"{file!r} has no rows: expected one for every image")
    if len({image.label for image in images}) < len(CLASS_NAMES):
        found = ", ".join(repr(value) for value, _ in values.most_common(_VALUES_SHOWN))
        raise UserError(
            f"{file!r}: all images are {CLASS_NAMES[images[0].label]} by column {used.label!r}, whose most "
            f"frequent values are {found}; --table.positive says which of them mean {CLASS_NAMES[PNEUMONIA]}"
        )
    check_classes(file, images)
    folder = Path(images_folder(file, used))
    # os.path, as Path.is_file raises for what is too long to be a path.
    if not any(os.path.isfile(folder / image.source) for image in images):  # noqa: PTH113
        raise UserError(
            f"none of the {len(images)} images of {file!r} is there, the first is "
            f"{str(folder / images[0].source)!r}: give the folder that they are in with --table.images"
        )


def _is_parquet(file: str) -> bool:
    return file.lower().endswith(".parquet")


def _csv_names(file: str) -> list[str]:
    return next((cells for _, cells in _csv_lines(file)), [])


def _csv_rows(file: str) -> Iterator[Row]:
    lines = _csv_lines(file)
    _, names = next(lines)
    for number, cells in lines:
        if len(cells) != len(names):
            raise UserError(
                f"{file!r}, row {number} has {len(cells)} cells, the header has {len(names)} columns"
            )
        yield number, dict(zip(names, cells, strict=True))


def _csv_lines(file: str) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not empty, with their numbers, the header's being 1."""
    try:
        with Path(file).open(newline="", encoding="utf-8-sig") as text:
            reader = csv.reader(text)
            for cells in reader:
                if cells:
                    yield reader.line_num, [cell.strip() for cell in cells]
    except OSError as error:
        raise UserError(f"{file!r} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file!r} is no table of comma-separated values in UTF-8: {error}") from None


def _parquet_names(file: str) -> list[str]:
    with _open_parquet(file) as parquet:
        return list(parquet.schema_arrow.names)


def _parquet_rows(file: str, used: TableColumns) -> Iterator[Row]:
    wanted = {used.path, used.label, used.patient, used.split, used.subtype} - {""}
    number = 0
    with _open_parquet(file) as parquet:
        for batch in parquet.iter_batches(columns=list(wanted)):
            for row in batch.to_pylist():
                number += 1
                yield number, {name: _text(value) for name, value in row.items()}


@contextlib.contextmanager
def _open_parquet(file: str) -> Iterator[Any]:
    """A `pyarrow.parquet.ParquetFile`, whose errors are the user's."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise UserError(
            f"to read {file!r}, pyarrow is needed: pip install chest-xray-pipeline[parquet]"
        ) from None
    try:
        with pyarrow.parquet.ParquetFile(file) as parquet:
            yield parquet
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{file!r} cannot be read as Parquet: {' '.join(str(error).split())}") from None


def _text(value: Any) -> str:
    """A cell as CSV would have it; whole numbers without `.0`, true and false as 1 and 0."""
    if value is None or value != value:  # noqa: PLR0124 (NaN: pandas has it for what is missing)
        return ""
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return str(value).strip()
