"""Writes the answers of the command: a table, lines of JSON, CSV, and overlay pictures."""

import csv
import json
import sys
from pathlib import Path
from typing import Protocol

import rich.console
import rich.markup
import rich.table

from serving.client.answers import Explanation, Prediction
from tfrecords_builder import storage
from tfrecords_builder.errors import UserError

_COLUMNS = ("file", "probability", "label", "valid", "reason", "overlay")
_WIDTH_OF_FILES = 10_000  # characters of a line that goes to a file or a pipe: no path is folded there


class Output(Protocol):
    """Writes answers to stdout."""

    def add(self, file: str, answer: Prediction, overlay: str | None) -> None:
        """Takes the answer about a file, and the path of its overlay if there is one."""

    def close(self) -> None:
        """Writes what has not been written yet."""


class Table:
    """Writes a table for people to read, after the last answer."""

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
        width = None if sys.stdout.isatty() else _WIDTH_OF_FILES
        rich.console.Console(width=width).print(self._table)


class JsonLines:
    """Writes one JSON object a line, each as soon as it is known."""

    def add(self, file: str, answer: Prediction, overlay: str | None) -> None:
        """See `Output.add`."""
        sys.stdout.write(json.dumps(_row(file, answer, overlay)) + "\n")
        sys.stdout.flush()

    def close(self) -> None:
        """See `Output.close`."""


class Csv:
    """Writes a line with the names of the columns, and one line for each file as soon as it is known."""

    def __init__(self) -> None:
        self._writer = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
        self._writer.writeheader()

    def add(self, file: str, answer: Prediction, overlay: str | None) -> None:
        """See `Output.add`."""
        self._writer.writerow(_row(printable(file), answer, overlay))
        sys.stdout.flush()

    def close(self) -> None:
        """See `Output.close`."""


def _row(file: str, answer: Prediction, overlay: str | None) -> dict[str, str | float | bool | None]:
    values = (file, answer.probability, answer.label, answer.valid, answer.reason, overlay)
    return dict(zip(_COLUMNS, values, strict=True))


class OverlayFolder:
    """Writes overlays into a folder, each under the name of its image.

    Raises:
        UserError: if the folder cannot be made.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._used_names: set[str] = set()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder {folder!r} for overlays: {error.strerror}") from None

    def write(self, file: str, answer: Prediction) -> str | None:
        """Writes the overlay of an image file, and returns its path. Returns None if there is no overlay.

        Raises:
            UserError: if the overlay cannot be written.
        """
        overlay = answer.overlay if isinstance(answer, Explanation) else b""
        if not overlay:
            return None
        target = str(self._folder / self._unused_name(Path(file).stem))
        try:
            storage.write(target, overlay)
        except OSError as error:
            raise UserError(f"cannot write the overlay {target!r}: {error.strerror}") from None
        return target

    def _unused_name(self, stem: str) -> str:
        """The name of an overlay; from the second image with this name on, it has a number."""
        number = 1
        name = f"{stem}.png"
        while name.casefold() in self._used_names:  # some file systems ignore case
            number += 1
            name = f"{stem}-{number}.png"
        self._used_names.add(name.casefold())
        return name


def printable(file: str) -> str:
    """A path in which escapes stand for the bytes that are not UTF-8."""
    return file.encode("utf-8", "backslashreplace").decode()
