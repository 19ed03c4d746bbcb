"""Which files are meant, what is in them, and whether that is worth sending."""

import dataclasses
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from PIL import Image

from tfrecords_builder.decoding import FORMATS, MAX_PIXELS

EncodedOrPath = bytes | str | os.PathLike[str]
ImageT = TypeVar("ImageT", bound=EncodedOrPath)

_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png"})
_ARCHIVE_LEFTOVERS = "__MACOSX"


@dataclasses.dataclass(frozen=True)
class LoadedImage(Generic[ImageT]):
    """An image as the caller named it, and its bytes; or the reason why there is nothing to send."""

    image: ImageT
    encoded: bytes = b""
    problem: str = ""


def find_images(paths: Iterable[str]) -> list[str]:
    """The files, and the image files below the folders, in the order of `paths` and sorted in a folder.

    A path that is no folder is taken as it is, whatever its suffix, even if there is no such file. Hidden
    files and what archives of macOS leave behind are passed over.
    """
    return [file for path in paths for file in (_walk(path) if Path(path).is_dir() else [path])]


def _walk(folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if name != _ARCHIVE_LEFTOVERS and not name.startswith(".")
        )
        for name in sorted(files):
            if Path(name).suffix.lower() in _SUFFIXES and not name.startswith("."):
                yield str(Path(parent) / name)


def load(image: ImageT) -> LoadedImage[ImageT]:
    """Reads an image, and its header, so that nothing is sent that no server of this project would decode."""
    try:
        encoded = _read(image)
    except OSError as error:
        return LoadedImage(image, problem=f"cannot be read: {error.strerror}")
    problem = _problem(encoded)
    return LoadedImage(image, problem=problem) if problem else LoadedImage(image, encoded)


def _read(image: EncodedOrPath) -> bytes:
    return image if isinstance(image, bytes) else Path(image).read_bytes()


def _problem(encoded: bytes) -> str:
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as header:
            width, height = header.size
    except Image.DecompressionBombError:  # Pillow's own limit, above ours
        return f"more pixels than the limit of {MAX_PIXELS}"
    except (OSError, ValueError, SyntaxError):
        return f"no {', '.join(FORMATS)} image: {len(encoded)} bytes that start with {encoded[:8]!r}"
    if width * height > MAX_PIXELS:
        return f"{width}x{height} pixels are more than the limit of {MAX_PIXELS}"
    return ""


def batches(images: Iterable[ImageT], max_images: int, max_bytes: int) -> Iterator[list[LoadedImage[ImageT]]]:
    """Loads images one after the other and groups them, no group larger than asked unless one image is."""
    group: list[LoadedImage[ImageT]] = []
    size = 0
    for image in images:
        loaded = load(image)
        if group and (len(group) == max_images or size + len(loaded.encoded) > max_bytes):
            yield group
            group, size = [], 0
        group.append(loaded)
        size += len(loaded.encoded)
    if group:
        yield group
