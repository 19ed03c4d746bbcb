"""Files at local paths, or behind any URL that `tf.io.gfile` opens (`gs://`, `hdfs://`, `ram://`).

A file that is written here appears under its name only when it is complete. Local files are read and written
without TensorFlow, which takes seconds to load.
"""

import contextlib
import csv
import io
import json
import math
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

from tfrecords_builder.errors import UserError

LONGEST_STEM = 200
"""Bytes of a file name that `shortened` returns. File systems allow 255 in a whole name."""

TEMPORARY_NAME = re.compile(r"\.(.+)\.\d+\.tmp")
"""Names of what `replacing` has not finished; the group is the name of the finished file."""

_PATTERN = re.compile(r"[\[\]*?\\]")

LoadedT = TypeVar("LoadedT")


def is_url(path: str) -> bool:
    """Whether a path is a URL, which TensorFlow opens, and not a local path."""
    return "://" in path


def join(folder: str, *names: str) -> str:
    """The path of a file below a folder.

    Raises:
        UserError: if the path of the folder is empty: it would become that of the root folder.
    """
    if not folder:
        raise UserError("the path of a folder is empty: give '.' for the current folder")
    return "/".join((folder.rstrip("/"), *names))


def shortened(stem: str) -> str:
    """A file name without its suffix, cut so that file systems allow some more characters around it."""
    while len(os.fsencode(stem)) > LONGEST_STEM:
        stem = stem[:-1]
    return stem


def entries(folder: str) -> Iterator[tuple[str, bool]]:
    """The names in a folder, and whether each is a folder itself; nothing if there is no such folder.

    A link is not taken for a folder, except behind a URL, where links cannot be told.
    """
    if not exists(folder):
        return
    if not is_url(folder):
        with os.scandir(folder) as scanned:
            yield from ((entry.name, entry.is_dir(follow_symlinks=False)) for entry in scanned)
        return
    import tensorflow as tf

    for name in tf.io.gfile.listdir(folder):
        bare = name.rstrip("/")
        yield bare, name != bare or bool(tf.io.gfile.isdir(join(folder, bare)))


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
    return read_bytes(path).decode("utf-8")


def open_file(path: str, mode: Literal["rb", "wb"]) -> BinaryIO:
    """Opens a file to read or to write bytes.

    Raises:
        OSError: if a local file cannot be opened.
        tf.errors.OpError: if a file behind a URL cannot be read, as soon as one tries.
    """
    if not is_url(path):
        return open(path, mode)  # noqa: PTH123
    import tensorflow as tf

    return tf.io.gfile.GFile(path, mode)


def read_bytes(path: str) -> bytes:
    """The content of a file.

    Raises:
        OSError: if a local file cannot be read.
        tf.errors.OpError: if a file behind a URL cannot be read.
    """
    with open_file(path, "rb") as file:
        return file.read()


def read_beginning(path: str, count: int) -> bytes:
    """The first `count` bytes of a file, or all of it if it has fewer.

    Raises:
        OSError: if a local file cannot be read.
        tf.errors.OpError: if a file behind a URL cannot be read.
    """
    with open_file(path, "rb") as file:
        return file.read(count)


def remove(path: str) -> None:
    """Deletes a file, or a link and not what it leads to."""
    if not is_url(path):
        Path(path).unlink()
        return
    import tensorflow as tf

    tf.io.gfile.remove(path)


def remove_empty_folder(folder: str) -> None:
    """Deletes a folder if it is empty; otherwise it stays. The same if there is none."""
    if not is_url(folder):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
        return
    import tensorflow as tf

    # `ram://` keeps the names of folders whose files were moved, and fails to find them when it removes them.
    with contextlib.suppress(tf.errors.NotFoundError):
        if not tf.io.gfile.listdir(folder):
            tf.io.gfile.rmtree(folder)


def move(source: str, target: str) -> None:
    """Moves a file to another path on the same storage, where it replaces another file. Makes its folder."""
    if not is_url(target):
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(source).replace(target)
        return
    import tensorflow as tf

    tf.io.gfile.makedirs(target.rpartition("/")[0])
    tf.io.gfile.rename(source, target, overwrite=True)


def copy(source: str, target: str) -> None:
    """Copies a file, which replaces another one and appears under its name only when it is complete."""
    with replacing(target) as unfinished:
        if not is_url(source) and not is_url(unfinished):
            shutil.copyfile(source, unfinished)
            return
        import tensorflow as tf

        tf.io.gfile.copy(source, unfinished)


@contextlib.contextmanager
def without_pattern(folder: str) -> Iterator[str]:
    """Lends a path to a folder in which TensorFlow finds no pattern.

    TensorFlow looks for the variables of a SavedModel by a pattern that contains the folder. So it does not
    find them if the folder's name has `[`, `*` or `?`.

    Args:
        folder: a path or a URL. A local one with such characters is lent by a link.
    """
    if is_url(folder) or not _PATTERN.search(str(Path(folder).absolute())):
        yield folder
        return
    with tempfile.TemporaryDirectory() as place:
        link = Path(place) / "folder"
        link.symlink_to(Path(folder).absolute(), target_is_directory=True)
        yield str(link)


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
    hidden = (
        f".{name}.{os.getpid()}{threading.get_native_id()}.tmp"  # threads may write the same file at once
    )
    unfinished = f"{folder}/{hidden}" if folder else hidden
    if not is_url(path):
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
        try:
            with _naming(path):
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


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Names the file in errors that name none, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or path
        raise


def check_writable(folder: str) -> None:
    """Checks that files can be written into a folder, or that it can be made. Nothing is left behind.

    Args:
        folder: a path or a URL. Behind a URL nothing is checked, because only a file that stays would tell.

    Raises:
        OSError: if they cannot; it names the folder.
    """
    if is_url(folder):
        return
    try:
        with tempfile.TemporaryFile(dir=_closest_existing(Path(folder).absolute())):
            pass
    except OSError as error:
        error.filename = folder
        raise


def _closest_existing(path: Path) -> Path:
    """The path itself if there is something, else its closest parent that exists."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return _closest_existing(path.parent)
    return path


def check_space(path: str, num_bytes: int) -> None:
    """Checks that a file of so many bytes can be written at a local path, by writing one that has no name.

    Raises:
        OSError: if it cannot.
    """
    if is_url(path):
        return
    with _naming(path), tempfile.TemporaryFile(dir=Path(path).parent, buffering=0) as file:
        while num_bytes > 0:
            num_bytes -= file.write(bytes(min(num_bytes, 1 << 20)))


def write(path: str, content: str | bytes) -> None:
    """Writes a file so that a reader never sees a part of it; text is written as UTF-8.

    Raises:
        OSError: if a local file cannot be written.
        tf.errors.OpError: if a file behind a URL cannot be written.
    """
    # A file name need not be UTF-8. What cannot be encoded of it is written as \udc80 and the like.
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with replacing(path) as unfinished, open_file(unfinished, "wb") as file:
        file.write(data)


def write_with(path: str, save: Callable[[str], None]) -> None:
    """Writes the file that `save` writes, for libraries that can only save to a local path."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / path.rpartition("/")[2]
        with _naming(str(local)):
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


def to_json(value: Any) -> str:
    """JSON text with a line end. NaN, which JSON does not have, becomes null."""
    return json.dumps(null_for_nan(value), indent=2) + "\n"


def null_for_nan(value: Any) -> Any:
    """The same value with None for NaN, in nested dictionaries and lists too."""
    if isinstance(value, dict):
        return {key: null_for_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [null_for_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A CSV table with a header; the columns are the keys of the first row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
