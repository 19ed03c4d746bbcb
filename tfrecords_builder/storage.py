"""Files at local paths, or behind any URL that `tf.io.gfile` opens (`gs://`, `hdfs://`, `ram://`).

A file that is written here appears under its name only when it is complete. Local files are read and written
without TensorFlow, which takes seconds to load.
"""

import contextlib
import csv
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

LoadedT = TypeVar("LoadedT")


def is_url(path: str) -> bool:
    """Whether a path is a URL, which TensorFlow opens, and not a local path."""
    return "://" in path


def join(folder: str, *names: str) -> str:
    """The path of a file below a folder."""
    return "/".join((folder.rstrip("/"), *names))


def exists(path: str) -> bool:
    """Whether there is a file or folder at this path."""
    if not is_url(path):
        return Path(path).exists()
    import tensorflow as tf

    return bool(tf.io.gfile.exists(path))


def read(path: str) -> str:
    """The text of a UTF-8 file.

    Raises:
        OSError: if a local file cannot be read.
        tf.errors.OpError: if a file behind a URL cannot be read.
    """
    if not is_url(path):
        return Path(path).read_bytes().decode("utf-8")  # read_text would change the ends of lines
    import tensorflow as tf

    with tf.io.gfile.GFile(path) as file:
        return str(file.read())


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Lends a temporary name in the folder of `path`; what was written there becomes `path` at the end.

    If the block fails, the temporary file is removed and `path` stays as it was. The folder is made if there
    is none.

    Raises:
        OSError: if a local file cannot be written.
        tf.errors.OpError: if a file behind a URL cannot be written.
    """
    folder, _, name = path.rpartition("/")
    unfinished = f"{folder}/.{name}.{os.getpid()}.tmp" if folder else f".{name}.{os.getpid()}.tmp"
    if not is_url(path):
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
        try:
            yield unfinished
            Path(unfinished).replace(path)
        finally:
            Path(unfinished).unlink(missing_ok=True)
        return
    import tensorflow as tf

    tf.io.gfile.makedirs(folder)
    try:
        yield unfinished
        tf.io.gfile.rename(unfinished, path, overwrite=True)
    finally:
        if tf.io.gfile.exists(unfinished):
            tf.io.gfile.remove(unfinished)


def write(path: str, content: str | bytes) -> None:
    """Writes a file so that a reader never sees a part of it; text is written as UTF-8.

    Raises:
        OSError: if a local file cannot be written.
        tf.errors.OpError: if a file behind a URL cannot be written.
    """
    # A file name need not be UTF-8. What cannot be encoded of it is written as \udc80 and the like.
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with replacing(path) as unfinished:
        if not is_url(path):
            Path(unfinished).write_bytes(data)
            return
        import tensorflow as tf

        with tf.io.gfile.GFile(unfinished, "wb") as file:
            file.write(data)


def write_with(path: str, save: Callable[[str], None]) -> None:
    """Writes the file that `save` writes, for libraries that can only save to a local path."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / path.rpartition("/")[2]
        save(str(local))
        write(path, local.read_bytes())


def read_with(path: str, load: Callable[[str], LoadedT]) -> LoadedT:
    """Returns what `load` makes of the file, for libraries that can only load a local path."""
    if not is_url(path):
        return load(path)
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / path.rpartition("/")[2]
        tf.io.gfile.copy(path, str(local))
        return load(str(local))


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A CSV table with a header; the columns are the keys of the first row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
