"""Finds image files, loads them, and groups them into batches."""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from tfrecords_builder.decoding import SUFFIXES, UnreadableImage, read_header

EncodedOrPath = bytes | str | os.PathLike[str]
"""An image file: its content, or its path."""
ImageT = TypeVar("ImageT", bound=EncodedOrPath)

_ARCHIVE_LEFTOVERS = "__MACOSX"


@dataclasses.dataclass(frozen=True)
class LoadedImage(Generic[ImageT]):
    """An image that is ready to be sent, or the reason why it will not be sent."""

    image: ImageT
    """The image as the caller gave it."""
    encoded: bytes = b""
    """The content of its file; empty if it will not be sent."""
    problem: str = ""
    """Why it will not be sent; empty if it is ready."""


def find_images(paths: Iterable[str]) -> list[str]:
    """Returns the files among `paths`, and the image files in the folders among them.

    The order is that of `paths`; the files of a folder are sorted. A path that is not a folder is always
    returned, whatever its suffix, even if there is no such file. In folders, hidden files and the `__MACOSX`
    folders of archives are left out.
    """
    return [file for path in paths for file in (_images_below(path) if Path(path).is_dir() else [path])]


def _images_below(folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if name != _ARCHIVE_LEFTOVERS and not name.startswith(".")
        )
        for name in sorted(files):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield str(Path(parent) / name)


def load(image: ImageT) -> LoadedImage[ImageT]:
    """Loads an image and checks its header, so that the client sends nothing that every server refuses."""
    try:
        encoded = image if isinstance(image, bytes) else Path(image).read_bytes()
        read_header(encoded)
    except OSError as error:
        return LoadedImage(image, problem=f"cannot be read: {error.strerror}")
    except UnreadableImage as error:
        return LoadedImage(image, problem=str(error))
    return LoadedImage(image, encoded)


def batches(images: Iterable[ImageT], max_images: int, max_bytes: int) -> Iterator[list[LoadedImage[ImageT]]]:
    """Loads images one by one and groups them.

    Args:
        images: the images.
        max_images: most images in a batch.
        max_bytes: most bytes of images in a batch. An image that is larger makes a batch on its own.
    """
    batch: list[LoadedImage[ImageT]] = []
    num_bytes = 0
    for image in images:
        loaded = load(image)
        if batch and (len(batch) == max_images or num_bytes + len(loaded.encoded) > max_bytes):
            yield batch
            batch, num_bytes = [], 0
        batch.append(loaded)
        num_bytes += len(loaded.encoded)
    if batch:
        yield batch
