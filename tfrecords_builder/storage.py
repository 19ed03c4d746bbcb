"""Files of a run folder, local or behind any URL that tf.io.gfile opens, written whole or not at all."""

import csv
import io
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tensorflow as tf

LoadedT = TypeVar("LoadedT")


def join(folder: str, *names: str) -> str:
    """The path of a file below a folder."""
    return "/".join((folder.rstrip("/"), *names))


def exists(path: str) -> bool:
    """Whether there is a file or folder of this path."""
    return bool(tf.io.gfile.exists(path))


def read(path: str) -> str:
    """The text of a file."""
    with tf.io.gfile.GFile(path) as file:
        return str(file.read())


def write(path: str, content: str | bytes) -> None:
    """Writes a file under a temporary name and renames it, so that a reader never sees half of it."""
    tf.io.gfile.makedirs(path.rpartition("/")[0] or ".")
    unfinished = f"{path}.{os.getpid()}.tmp"
    with tf.io.gfile.GFile(unfinished, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    tf.io.gfile.rename(unfinished, path, overwrite=True)


def write_with(path: str, save: Callable[[str], None]) -> None:
    """Writes what `save` writes to a local path; for libraries that know no other."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / path.rpartition("/")[2]
        save(str(local))
        write(path, local.read_bytes())


def read_with(path: str, load: Callable[[str], LoadedT]) -> LoadedT:
    """Returns what `load` makes of a local copy of a file."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / path.rpartition("/")[2]
        tf.io.gfile.copy(path, str(local))
        return load(str(local))


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A CSV table of rows that have the keys of the first one."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
