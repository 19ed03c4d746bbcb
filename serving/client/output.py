"""Writes the answers of the command: a table, lines of JSON, CSV, and overlay pictures."""

import csv
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import rich.console
import rich.markup
import rich.table

from serving.client.answers import Explanation, Prediction
from serving.client.pictures import draw
from tfrecords_builder import storage
from tfrecords_builder.errors import UserError
from tfrecords_builder.ownership import PNG_SIGNATURE, OwnedFiles, refuse_unknown_files, sign_png

_COLUMNS = (
    "file",
    "probability",
    "label",
    "valid",
    "reason",
    "overlay",
    "lung_area",
    "familiarity",
    "warning",
    "evidence",
    "threshold",
    "version",
)
_OVERLAYS = OwnedFiles("a folder of overlays", {r"[^/]+\.png": PNG_SIGNATURE})
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
        self._table.add_column("threshold", justify="right")
        self._table.add_column("label")
        self._table.add_column("warning")
        self._table.add_column("version", justify="right")
        if with_overlays:
            self._table.add_column("evidence", justify="right")
            self._table.add_column("overlay", overflow="fold")

    def add(self, file: str, answer: Prediction, overlay: str | None) -> None:
        """See `Output.add`."""
        probability = f"{answer.probability:.4f}" if answer.valid else ""
        label = answer.label if answer.valid else f"{answer.label}: {answer.reason}"
        evidence = _evidence(answer)
        cells = (
            printable(file),
            probability,
            "" if answer.threshold is None else f"{answer.threshold:.4f}",
            label,
            answer.warning,
            "" if answer.version is None else str(answer.version),
            "" if evidence is None else f"{evidence:.1f}",
            printable(overlay or ""),
        )
        self._table.add_row(*(rich.markup.escape(cell) for cell in cells[: len(self._table.columns)]))

    def close(self) -> None:
        """See `Output.close`."""
        if not self._table.rows:
            return
        width = None if sys.stdout.isatty() else _WIDTH_OF_FILES
        rich.console.Console(width=width).print(self._table)


class JsonLines:
    """Writes one JSON object a line, each as soon as it is known.

    A byte of a path that is not UTF-8 is written as a lone surrogate, from which Python's `os.fsencode` makes
    the byte again.
    """

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
        self._writer.writerow(_row(printable(file), answer, None if overlay is None else printable(overlay)))
        sys.stdout.flush()

    def close(self) -> None:
        """See `Output.close`."""


def _row(file: str, answer: Prediction, overlay: str | None) -> dict[str, str | float | bool | None]:
    # An image without an answer has no probability: the API's -1 would enter the means of whoever reads this.
    probability = answer.probability if answer.valid else None
    values = (
        file,
        probability,
        answer.label,
        answer.valid,
        answer.reason,
        overlay,
        answer.lung_area,
        answer.familiarity,
        answer.warning,
        _evidence(answer),
        answer.threshold,
        answer.version,
    )
    return dict(zip(_COLUMNS, values, strict=True))


def _evidence(answer: Prediction) -> float | None:
    return answer.evidence if isinstance(answer, Explanation) else None


class OverlayFolder:
    """Writes overlays into a folder, each under the name of its image.

    A folder that holds other files than overlays is refused, so that no X-ray is overwritten.

    Args:
        folder: a path or a URL. A local folder is made if there is none.
        files: the images.

    Raises:
        UserError: if the folder holds other files, or one of the images.
        OSError: if the folder cannot be made.
    """

    def __init__(self, folder: str, files: Iterable[str]) -> None:
        self._folder = folder if storage.is_url(folder) else str(Path(folder))
        self._used_names: set[str] = set()
        _refuse_images_inside(folder, files)
        refuse_unknown_files(self._folder, _OVERLAYS)
        if not storage.is_url(folder):
            Path(folder).mkdir(parents=True, exist_ok=True)

    def write(self, file: str, answer: Prediction) -> str | None:
        """Writes the overlay of an image file, and returns its path. Returns None if there is no overlay.

        Raises:
            OSError: if the overlay cannot be written.
        """
        overlay = draw(file, answer) if isinstance(answer, Explanation) else b""
        if not overlay:
            return None
        target = storage.join(self._folder, self._unused_name(storage.shortened(Path(file).stem)))
        storage.write(target, sign_png(overlay))
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


def _refuse_images_inside(folder: str, files: Iterable[str]) -> None:
    """Refuses images that lie in the folder of the overlays: they may be overlays of an earlier run."""
    inside = Path(folder).resolve()
    images_by_parent = {os.path.dirname(file): file for file in files}  # noqa: PTH120 - many times as fast
    for parent, image in images_by_parent.items():
        if Path(parent).resolve().is_relative_to(inside):
            raise UserError(
                f"the image {image!r} lies in {folder!r}, where overlays are to be written: choose another "
                "folder for them"
            )


def printable(file: str) -> str:
    """A path in which escapes stand for the bytes that are not UTF-8."""
    return file.encode("utf-8", "backslashreplace").decode()
