"""Lists the files below a folder. Links are followed, never in a circle, and no folder is listed twice."""

import collections
import dataclasses
import os

from tfrecords_builder.errors import UserError
from tfrecords_builder.source.images import SUFFIXES
from tfrecords_builder.source.passed_over import PassedOver

CLUTTER = "__MACOSX"
"""A folder that macOS adds to archives; it is not listed."""

READ_ALREADY = "links to what is read already"


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """A file, or anything else that is no folder."""

    path: str
    """Path relative to the folder that was searched, with `/`."""
    real_path: str
    """Absolute path without links."""
    is_linked: bool
    """Whether the path contains a link below the folder that was searched."""


def entries(folder: str) -> list[os.DirEntry[str]]:
    """What is in a folder, sorted by name, without hidden folders and clutter.

    Raises:
        UserError: if the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as found:
            listed = [entry for entry in found if entry.name != CLUTTER]
    except OSError as error:
        raise UserError(f"the folder {folder!r} cannot be listed: {error.strerror}") from None
    return sorted(
        (entry for entry in listed if not (entry.name.startswith(".") and is_folder(entry))),
        key=lambda entry: entry.name,
    )


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; a link to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def files_below(folder: str, passed_over: PassedOver, prefix: str = "") -> list[File]:
    """Lists all files below a folder.

    Links to folders are followed last: a folder that also has a path without links is listed under that one.
    An empty folder that is named like an image is listed, so that it is reported as unreadable.

    Args:
        folder: the folder to search.
        passed_over: gets the links that are not followed.
        prefix: start of the paths that it gets.

    Raises:
        UserError: if a folder cannot be listed.
    """
    root = File("", os.path.realpath(folder), is_linked=False)
    files: list[File] = []
    listed: set[str] = set()
    waiting, linked = collections.deque([root]), collections.deque[File]()
    while waiting or linked:
        parent = (waiting or linked).popleft()
        if parent.real_path in listed or path_below(root.real_path, parent.real_path):
            passed_over.add(READ_ALREADY, prefix + parent.path)
            continue
        listed.add(parent.real_path)
        children = entries(os.path.join(folder, parent.path))  # noqa: PTH118
        for entry in children:
            child = _child(parent, entry)
            if not is_folder(entry):
                files.append(child)
            elif child.is_linked:
                linked.append(child)
            else:
                waiting.append(child)
        if not children and parent.path.lower().endswith(SUFFIXES):
            files.append(parent)
    return files


def path_below(path: str, folder: str) -> str | None:
    """The path relative to a folder, both absolute; empty for the folder, None if it is not below it."""
    if path == folder:
        return ""
    start = folder.rstrip("/") + "/"
    return path[len(start) :] if path.startswith(start) else None


def _child(parent: File, entry: os.DirEntry[str]) -> File:
    """An entry of a folder. Its real path costs time only if it is a link."""
    is_link = entry.is_symlink()
    return File(
        path=f"{parent.path}/{entry.name}" if parent.path else entry.name,
        real_path=os.path.realpath(entry.path) if is_link else f"{parent.real_path}/{entry.name}",
        is_linked=parent.is_linked or is_link,
    )
