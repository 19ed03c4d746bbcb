"""Reads the rows of a table from a CSV or Parquet file (extra `parquet`); every cell becomes text."""

import contextlib
import csv
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from tfrecords_builder.errors import UserError

SUFFIXES = (".csv", ".parquet")

Row = tuple[int, Mapping[str, str]]
"""The number of a row, and its cells by column. CSV rows have the numbers that an editor shows; the first row
of a Parquet file is 1."""


def read_column_names(file: str) -> list[str]:
    """Reads the names of the columns; an empty file has none.

    Raises:
        UserError: if the file cannot be read, or pyarrow is needed and not installed.
    """
    if not _is_parquet(file):
        return next((cells for _, cells in _csv_lines(file)), [])
    with _open_parquet(file) as parquet:
        return list(parquet.schema_arrow.names)


def read_rows(file: str, columns: Set[str]) -> Iterator[Row]:
    """Reads the rows of a file that has column names.

    Args:
        file: .csv (UTF-8, commas, a header) or .parquet.
        columns: the columns that are needed; other columns may be left out.

    Raises:
        UserError: if the file cannot be read, or a row has another number of cells than the header.
    """
    return _parquet_rows(file, columns) if _is_parquet(file) else _csv_rows(file)


def _is_parquet(file: str) -> bool:
    return file.lower().endswith(".parquet")


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
    """The number and the cells of every line that is not empty; the header is line 1."""
    try:
        with Path(file).open(newline="", encoding="utf-8-sig") as text:
            reader = csv.reader(text)
            for cells in reader:
                if cells:
                    yield reader.line_num, [cell.strip() for cell in cells]
    except OSError as error:
        raise UserError(f"{file!r} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file!r} is not a table of comma-separated values in UTF-8: {error}") from None


def _parquet_rows(file: str, columns: Set[str]) -> Iterator[Row]:
    number = 0
    with _open_parquet(file) as parquet:
        for batch in parquet.iter_batches(columns=list(columns)):
            for row in batch.to_pylist():
                number += 1
                yield number, {name: _to_text(value) for name, value in row.items()}


@contextlib.contextmanager
def _open_parquet(file: str) -> Iterator[Any]:
    """Opens a `pyarrow.parquet.ParquetFile`; its errors become a UserError."""
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


def _to_text(value: Any) -> str:
    """A Parquet cell as CSV would have it: whole numbers without `.0`, true and false as 1 and 0."""
    if value is None or value != value:  # noqa: PLR0124 (NaN, which pandas writes for a missing value)
        return ""
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return str(value).strip()
