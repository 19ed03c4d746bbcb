"""Answers as the command gives them: a table, lines of JSON, CSV, and overlay pictures."""

import csv
import json
import os
import sys
from pathlib import Path
from typing import Protocol

import rich.console
import rich.markup
import rich.table

from serving.client.answers import Explanation, Prediction
from tfrecords_builder.errors import UserError

_COLUMNS = ("file", "probability", "label", "valid", "reason", "overlay")
_WIDE = 10_000  # characters: where nobody watches, no path is folded


class Output(Protocol):
    """Takes answers as they come."""

    def add(self, file: str, answer: Prediction, overlay: str | None) -> None:
        """Takes the answer for a file, and the path of its overlay if there is one."""

    def close(self) -> None:
        """Writes what is not written yet."""


class Table:
    """A table for people, written at the end."""

    def __init__(self, *, with_overlays: bool) -> None:
        self._table = rich.table.Table()
        self._table.add_column("file", overflow="fold")
        self._table.add_column("probability", justify="right")
        self._table.add_column("label")
        if with_overlays:
            self._table.add_column("overlay", overflow="fold")

    def add(self, file: str, answer: Prediction, overlay: str | None) -> None:
        """See `Output.add`."""
        probability = f"{answer.probability:.4f}" if answer.valid else ""
        label = answer.label if answer.valid else f"{answer.label}: {answer.reason}"
        cells = (printable(file), probability, label, printable(overlay or ""))
        self._table.add_row(*(rich.markup.escape(cell) for cell in cells[: len(self._table.columns)]))

    def close(self) -> None:
        """See `Output.close`."""
        if not self._table.rows:
            return
        width = None if sys.stdout.isatty() else _WIDE
        rich.console.Console(width=width).print(self._table)


class JsonLines:
    """One JSON object a line, each written as soon as it is known."""

    def add(self, file: str, answer: Prediction, overlay: str | None) -> None:
        """See `Output.add`."""
        sys.stdout.write(json.dumps(_fields(file, answer, overlay)) + "\n")
        sys.stdout.flush()

    def close(self) -> None:
        """See `Output.close`."""


class Csv:
    """A line of column names, and one line per file, each written as soon as it is known."""

    def __init__(self) -> None:
        self._writer = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
        self._writer.writeheader()

    def add(self, file: str, answer: Prediction, overlay: str | None) -> None:
        """See `Output.add`."""
        self._writer.writerow(_fields(printable(file), answer, overlay))
        sys.stdout.flush()

    def close(self) -> None:
        """See `Output.close`."""


def _fields(file: str, answer: Prediction, overlay: str | None) -> dict[str, str | float | bool | None]:
    values = (file, answer.probability, answer.label, answer.valid, answer.reason, overlay)
    return dict(zip(_COLUMNS, values, strict=True))


class OverlayFolder:
    """Writes overlays under the names of their images, each whole or not at all.

    Raises:
        UserError: if the folder cannot be made or written.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._names: set[str] = set()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder {folder!r} for overlays: {error.strerror}") from None

    def write(self, file: str, answer: Prediction) -> str | None:
        """Writes the overlay of an image file; returns its path, or None if the answer has none."""
        overlay = answer.overlay if isinstance(answer, Explanation) else b""
        if not overlay:
            return None
        target = self._folder / self._unused_name(Path(file).stem)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            unfinished.write_bytes(overlay)
            unfinished.replace(target)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise UserError(f"cannot write the overlay {str(target)!r}: {error.strerror}") from None
        return str(target)

    def _unused_name(self, stem: str) -> str:
        """Images of the same name, from several folders, are numbered from the second on."""
        number = 1
        name = f"{stem}.png"
        while name.casefold() in self._names:  # as file systems compare that do not heed case
            number += 1
            name = f"{stem}-{number}.png"
        self._names.add(name.casefold())
        return name


def printable(file: str) -> str:
    """The path without what a terminal of UTF-8 cannot show."""
    return file.encode("utf-8", "backslashreplace").decode()
