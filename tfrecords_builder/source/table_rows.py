"""Reads the rows of a table from a text file or a Parquet file (extra `parquet`); every cell becomes text."""

import contextlib
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from tfrecords_builder.errors import UserError

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
SUFFIXES = (*TEXT_SUFFIXES, *(f"{suffix}.gz" for suffix in TEXT_SUFFIXES), ".parquet")
"""Ends of the names of tables, in lower case."""

SEPARATORS = (",", ";", "\t")
"""What may separate the cells of a text file: the one that gives the header the most columns does."""

VALUE_SEPARATOR = "|"
"""Separates several values of one cell, as in Pneumonia|Effusion."""

Row = tuple[int, Mapping[str, str]]
"""The number of a row, and its cells by column. Rows of a text file have the numbers that an editor shows;
the first row of a Parquet file is 1."""

_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # Excel reads it as the first line
_GZIP = b"\x1f\x8b"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SAMPLE_BYTES = 4096


def is_table(source: str) -> bool:
    """Whether a source is a table, by its name, and not a folder."""
    return source.lower().endswith(SUFFIXES) and not Path(source).is_dir()


def read_column_names(file: str) -> list[str]:
    """Reads the names of the columns; an empty file has none.

    Raises:
        UserError: if the file cannot be read, or pyarrow is needed and not installed.
    """
    if not _is_parquet(file):
        return [name.strip() for name in next((cells for _, cells in _text_lines(file)), [])]
    with _open_parquet(file) as parquet:
        return list(parquet.schema_arrow.names)


def read_rows(file: str, columns: Set[str]) -> Iterator[Row]:
    """Reads the rows of a file that has column names. Rows without any text are left out.

    Args:
        file: a table, as SUFFIXES and SEPARATORS describe it.
        columns: the columns that are needed.

    Raises:
        UserError: if the file cannot be read, or a row has another number of cells than the header.
    """
    return _parquet_rows(file, columns) if _is_parquet(file) else _text_rows(file, columns)


def _is_parquet(file: str) -> bool:
    return file.lower().endswith(".parquet")


def _text_rows(file: str, columns: Set[str]) -> Iterator[Row]:
    lines = _text_lines(file)
    _, header = next(lines)
    positions = {name.strip(): position for position, name in enumerate(header) if name.strip() in columns}
    num_named = max(position for position, name in enumerate(header) if name.strip()) + 1
    for number, cells in lines:
        if len(cells) < num_named or any(cells[len(header) :]):
            raise UserError(
                f"{file!r}, row {number} has {len(cells)} cells, the header has {len(header)} columns"
            )
        yield number, {name: cells[position].strip() for name, position in positions.items()}


def _text_lines(file: str) -> Iterator[tuple[int, list[str]]]:
    """The number and the cells of every line that has any text; the header is line 1."""
    separator, num_lines_before = _separator(file)
    with _open_text(file) as text:
        for _ in range(num_lines_before):
            text.readline()
        reader = csv.reader(text, delimiter=separator, strict=True)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield num_lines_before + reader.line_num, cells


def _separator(file: str) -> tuple[str, int]:
    """What separates the cells, and the number of lines before the header: 1 if that line says it."""
    with _open_text(file) as text:
        if found := _SEPARATOR_LINE.fullmatch(text.readline().rstrip("\r\n")):
            return found[1], 1
    num_columns = {}
    for separator in SEPARATORS:
        with _open_text(file) as text:
            lines = csv.reader(text, delimiter=separator)
            num_columns[separator] = next((len(cells) for cells in lines if any(cells)), 0)
    return max(SEPARATORS, key=num_columns.__getitem__), 0


@contextlib.contextmanager
def _open_text(file: str) -> Iterator[io.TextIOWrapper]:
    """Opens a text file, compressed or not, in UTF-8 or UTF-16; its errors become a UserError."""
    try:
        with contextlib.ExitStack() as opened:
            data: Any = opened.enter_context(Path(file).open("rb"))
            if data.peek(len(_GZIP)).startswith(_GZIP):
                data = opened.enter_context(gzip.GzipFile(fileobj=data))
            start = data.peek(_SAMPLE_BYTES)
            encoding = "utf-16" if start.startswith(_UTF_16) else "utf-8-sig"
            if encoding != "utf-16" and b"\0" in start:
                raise UserError(f"{file!r} has zero bytes, as UTF-16 without its mark has: save it as UTF-8")
            yield opened.enter_context(io.TextIOWrapper(data, encoding, newline=""))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{file!r} is damaged: it cannot be decompressed ({error})") from None
    except OSError as error:
        raise UserError(f"{file!r} cannot be read: {error.strerror}") from None
    except (UnicodeError, csv.Error) as error:
        raise UserError(
            f"{file!r} is not a table of separated values in UTF-8 or UTF-16 ({error}): save it as CSV in "
            "UTF-8"
        ) from None


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
            f"to read {file!r}, pyarrow is needed: pip install 'chest-xray-pipeline[parquet]'"
        ) from None
    try:
        with pyarrow.parquet.ParquetFile(file) as parquet:
            yield parquet
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{file!r} cannot be read as Parquet: {' '.join(str(error).split())}") from None


def _to_text(value: Any) -> str:
    """A Parquet cell as CSV would have it: whole numbers without `.0`, true and false as 1 and 0."""
    if isinstance(value, list):
        return VALUE_SEPARATOR.join(map(_to_text, value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if value is None or value != value:  # noqa: PLR0124 (NaN, which pandas writes for a missing value)
        return ""
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return str(value).strip()
