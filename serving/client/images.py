"""Finds image files, loads them, and groups them into batches.

Servers read no DICOM. The builder's own decoder reads it here, and what is sent is a PNG file of its gray
levels, which is lossless. So the served answer is that about the built record, and nothing that DICOM says of
the patient leaves this machine.
"""

import dataclasses
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from tfrecords_builder.decoding import (
    BEGINNING_BYTES,
    DICOM,
    FORMATS,
    SUFFIXES,
    UnreadableImage,
    decode,
    read_header,
    recognize,
)
from tfrecords_builder.errors import UserError
from tfrecords_builder.ownership import SYSTEM_FILES
from tfrecords_builder.source.beginnings import format_of
from tfrecords_builder.source.images import read_image
from tfrecords_builder.source.passed_over import PassedOver
from tfrecords_builder.source.walk import READ_ALREADY, File, files_below

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EncodedOrPath = bytes | str | os.PathLike[str]
"""An image file: its content, or its path."""
BLANK_IMAGE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000100000001008000000003a98a0bd0000000d4944415478da6360"
    "1805c80000011000017fcd03b50000000049454e44ae426082"
)
"""A black PNG file of 16x16 pixels, to ask a server whether it answers."""
_FAST_COMPRESSION = 1  # level of zlib, 1 to 9
ImageT = TypeVar("ImageT", bound=EncodedOrPath)


@dataclasses.dataclass(frozen=True)
class LoadedImage(Generic[ImageT]):
    """An image that is ready to be sent, or the reason why it will not be sent."""

    image: ImageT
    """The image as the caller gave it."""
    encoded: bytes = b""
    """The content of its file, or a PNG file of a DICOM image; empty if it will not be sent."""
    problem: str = ""
    """Why it will not be sent; empty if it is ready."""


def find_images(paths: Iterable[str], passed_over: PassedOver | None = None) -> list[str]:
    """Returns the files among `paths`, and the image files in the folders among them.

    The order is that of `paths`; the files of a folder are sorted. A path that is not a folder is always
    returned, whatever it holds, even if there is no such file. In folders, a file is an image if its first
    bytes or its name say so. Links are followed, never in a circle. Hidden files and the `__MACOSX` folders
    of archives are left out.

    Args:
        paths: files and folders.
        passed_over: gets the images of other formats in folders, and links that are not followed.

    Raises:
        UserError: if a folder cannot be listed.
    """
    passed = PassedOver() if passed_over is None else passed_over
    return [
        file for path in paths for file in (_images_below(path, passed) if Path(path).is_dir() else [path])
    ]


def _images_below(folder: str, passed_over: PassedOver) -> Iterator[str]:
    prefix = f"{folder.rstrip('/')}/"
    found: dict[
        str, File
    ] = {}  # by real path; what a link leads to is found under its own path if it has one
    for file in sorted(
        files_below(folder, passed_over, prefix), key=lambda file: (file.is_linked, file.path)
    ):
        if found.setdefault(file.real_path, file) is not file:
            passed_over.add(READ_ALREADY, prefix + file.path)
    for file in sorted(found.values(), key=lambda file: file.path):
        path = str(Path(folder, file.path))
        name = Path(file.path).name
        if name.startswith(".") or SYSTEM_FILES.fullmatch(name):
            continue
        image_format = format_of(path)
        if image_format in (*FORMATS, DICOM) or name.lower().endswith(SUFFIXES):
            yield path
        elif image_format is not None:
            passed_over.add(image_format, path)


def load(image: ImageT) -> LoadedImage[ImageT]:
    """Loads an image and checks its header, so that the client sends nothing that every server refuses."""
    try:
        encoded = image if isinstance(image, bytes) else _content(image)
        if recognize(encoded[:BEGINNING_BYTES]) == DICOM:
            encoded = _as_png(encoded)
        read_header(encoded)
    except OSError as error:
        return LoadedImage(image, problem=f"cannot be read: {error.strerror}")
    except (UnreadableImage, UserError) as error:  # UserError: the extra `dicom` is not installed
        return LoadedImage(image, problem=str(error))
    return LoadedImage(image, encoded)


def _as_png(dicom: bytes) -> bytes:
    """A PNG file of what the builder reads from a DICOM file.

    Raises:
        UnreadableImage: if the file is damaged, or no X-ray.
        UserError: if pydicom (extra `dicom`) is not installed.
    """
    return encode_png(decode(dicom))


def encode_png(pixels: "NDArray[np.uint8]") -> bytes:
    """A PNG file, written fast, of gray (height, width) or BGR (height, width, 3) pixels."""
    import cv2

    return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, _FAST_COMPRESSION])[1].tobytes()


def _content(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: if there is no file, or it cannot be read.
        UnreadableImage: if it is a pipe or a device, or too large.
    """
    if stat.S_ISDIR(Path(path).stat().st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return read_image(os.fspath(path))


def batches(images: Iterable[ImageT], max_images: int, max_bytes: int) -> Iterator[list[LoadedImage[ImageT]]]:
    """Loads images one by one and groups them.

    Args:
        images: the images.
        max_images: maximum number of images in a batch.
        max_bytes: maximum number of bytes of images in a batch. A larger image
            makes a batch of its own.
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
