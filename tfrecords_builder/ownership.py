"""Which files of a folder a command wrote. A command overwrites and deletes no others.

Each kind of folder declares its files: the pattern of their paths, and a signature in their content. A name
alone proves little: `config.json` or `model.keras` may be anybody's. No command writes links or follows them.
Files of operating systems and of version control are passed over: they are no reason to refuse a folder, and
they are never deleted.
"""

import dataclasses
import os
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from tfrecords_builder import storage
from tfrecords_builder.errors import UserError

SYSTEM_FILES = re.compile(
    r"\.DS_Store|\._.*|\.localized|\.directory|Thumbs\.db|desktop\.ini|\.nfs.*|lost\+found|\.git(keep|ignore)"
)
SIGNATURE_WITHIN = 4096
"""Bytes from the beginning of a file in which its signature is looked for."""

_PNG_HEADER_BYTES = 33  # the first chunk of every PNG file, IHDR, ends here
_PNG_SOFTWARE = b"tEXtSoftware\0chest-xray-pipeline"
PNG_SIGNATURE = re.escape(_PNG_SOFTWARE)
"""Signature of the pictures that `sign_png` returned."""


@dataclasses.dataclass(frozen=True)
class OwnedFiles:
    """The files that a command writes into a folder."""

    kind: str
    """What the folder is, with its article, as in `a run folder`."""
    signatures: Mapping[str, bytes]
    """Regular expressions: of the path of a file below the folder, and of what its beginning contains."""


def refuse_unknown_files(folder: str, owned: OwnedFiles) -> None:
    """Refuses a folder that holds files which the command did not write. It is called before any writing.

    Args:
        folder: a path or a URL; there may be nothing.
        owned: the files that the command writes.

    Raises:
        UserError: naming the first unknown file.
    """
    if not storage.is_url(folder) and os.path.lexists(folder) and not Path(folder).is_dir():
        raise UserError(f"{folder!r} is a file, expected {owned.kind}: choose another name")
    for path in files_below(folder):
        if not is_owned(folder, path, owned):
            raise UserError(
                f"{folder!r} holds {path!r}, which does not belong to {owned.kind}: choose another folder, "
                "or move that file away first"
            )


def files_below(folder: str) -> Iterator[str]:
    """Paths below a folder of all files and links, in alphabetical order, without SYSTEM_FILES."""
    for name, is_folder in sorted(storage.entries(folder)):
        if SYSTEM_FILES.fullmatch(name):
            continue
        if is_folder:
            yield from (f"{name}/{path}" for path in files_below(storage.join(folder, name)))
        else:
            yield name


def is_owned(folder: str, path: str, owned: OwnedFiles) -> bool:
    """Whether a file exists below a folder and belongs to those that the command writes."""
    parent, _, name = path.rpartition("/")
    if unfinished := storage.TEMPORARY_NAME.fullmatch(name):
        final_path = f"{parent}/{unfinished[1]}" if parent else unfinished[1]
        return any(re.fullmatch(pattern, final_path) for pattern in owned.signatures)
    return any(
        re.fullmatch(pattern, path) and has_signature(storage.join(folder, path), signature)
        for pattern, signature in owned.signatures.items()
    )


def has_signature(path: str, signature: bytes) -> bool:
    """Whether there is a file, and its beginning contains what a regular expression matches."""
    is_file = storage.exists(path) if storage.is_url(path) else Path(path).is_file()
    if not is_file or Path(path).is_symlink():  # to read a pipe might never end
        return False
    return re.search(signature, storage.read_beginning(path, SIGNATURE_WITHIN), re.DOTALL) is not None


def refuse_foreign_file(path: str, signature: bytes, what: str) -> None:
    """Refuses to overwrite a file that the command did not write.

    Args:
        path: a path or a URL; there may be nothing.
        signature: regular expression of what the beginning of the command's own file contains.
        what: names the command's file, with its article, as in `a report`.

    Raises:
        UserError: if another file is there.
    """
    exists = storage.exists(path) if storage.is_url(path) else os.path.lexists(path)
    if exists and not has_signature(path, signature):
        raise UserError(
            f"{path!r} exists and is not {what} of this command: choose another name, or move it away first"
        )


def delete_owned(folder: str, owned: OwnedFiles, *, last: str = "") -> None:
    """Deletes the files that the command wrote, and the folders below that are empty then. `folder` stays.

    Args:
        folder: a path or a URL; there may be nothing.
        owned: the files that are deleted.
        last: path of the file that is deleted after all others.
    """
    for path in _owned(folder, owned, last):
        storage.remove(storage.join(folder, path))
        _remove_empty_folders(folder, path)


def move_owned(folder: str, owned: OwnedFiles, target: str, *, last: str = "") -> None:
    """Moves the files that the command wrote to another folder, where they replace others of the same paths.

    Args:
        folder: a path or a URL.
        owned: the files that are moved.
        target: a path or a URL.
        last: path of the file that is moved after all others.
    """
    for path in _owned(folder, owned, last):
        storage.move(storage.join(folder, path), storage.join(target, path))
        _remove_empty_folders(folder, path)


def copy_owned(folder: str, owned: OwnedFiles, target: str, *, last: str = "") -> None:
    """Copies the files that the command wrote to another folder, where they replace others of the same paths.

    Args:
        folder: a path or a URL.
        owned: the files that are copied.
        target: a path or a URL.
        last: path of the file that is copied after all others.
    """
    for path in _owned(folder, owned, last):
        storage.copy(storage.join(folder, path), storage.join(target, path))


def below(folder: str, signatures: Mapping[str, bytes]) -> dict[str, bytes]:
    """The signatures of files that lie in a folder (a regular expression) below the one that is owned."""
    return {f"{folder}/{pattern}": signature for pattern, signature in signatures.items()}


def sign_png(png: bytes) -> bytes:
    """Marks a PNG file as one of this project, in a text chunk. The pixels stay the same."""
    length, checksum = len(_PNG_SOFTWARE) - 4, zlib.crc32(_PNG_SOFTWARE)
    chunk = struct.pack(">I", length) + _PNG_SOFTWARE + struct.pack(">I", checksum)
    return png[:_PNG_HEADER_BYTES] + chunk + png[_PNG_HEADER_BYTES:]


def _owned(folder: str, owned: OwnedFiles, last: str) -> list[str]:
    paths = [path for path in files_below(folder) if is_owned(folder, path, owned)]
    return sorted(paths, key=lambda path: path == last)


def _remove_empty_folders(folder: str, path: str) -> None:
    """Removes the folders that contained the file at `path` below `folder` and are empty now."""
    while path := path.rpartition("/")[0]:
        storage.remove_empty_folder(storage.join(folder, path))
