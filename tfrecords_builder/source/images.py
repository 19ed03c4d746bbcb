"""One X-ray of a source, and what every source needs: images of both classes in every split."""

import dataclasses
import os
import stat
from collections.abc import Sequence

from tfrecords_builder.decoding import DICOM_SUFFIXES, FORMATS, UnreadableImage
from tfrecords_builder.decoding import SUFFIXES as COMMON_SUFFIXES
from tfrecords_builder.errors import UserError
from tfrecords_builder.records import CLASS_NAMES, SPLITS, Split

SUFFIXES = (*COMMON_SUFFIXES, *DICOM_SUFFIXES)
"""Ends of the names, in lower case, of the files that are taken for images whatever they hold."""

SUBTYPES = ("bacteria", "virus")
"""Subtypes of PNEUMONIA. Not every source knows them."""

MAX_FILE_BYTES = 512 << 20
"""Largest image file that is read, in bytes: 512 MiB are more than MAX_PIXELS need without compression."""


@dataclasses.dataclass(frozen=True)
class Details:
    """What else a table says about an image."""

    columns: tuple[tuple[str, str], ...] = ()
    """Names and cells of the columns that are kept."""
    boxes: tuple[tuple[float, ...], ...] | None = None
    """Boxes around lesions, as of `tfrecords_builder.lesions`; None if the table has no columns of boxes."""


@dataclasses.dataclass(frozen=True, slots=True)
class SourceImage:
    """One image file, and what the source says about it."""

    source: str
    """Path relative to the source folder, with `/`; an absolute path if a table names a file elsewhere."""
    split: Split
    label: int
    patient: str
    subtype: str
    """One of SUBTYPES, or empty."""
    details: Details = Details()


@dataclasses.dataclass(frozen=True, slots=True)
class FoundImage:
    """One image file before its patient is known."""

    source: str
    split: Split
    label: int
    name: str
    """The end of the path, which may say who is on the image."""
    patient: str = ""
    """The patient that a table names, or empty."""
    subtype: str | None = None
    """The subtype that a table names, or empty; None if the name of the file decides."""
    details: Details = Details()


def image_path(folder: str, source: str) -> str:
    """The path of an image: its source starts from the folder, unless it is absolute."""
    return os.path.join(folder, source)  # noqa: PTH118 - many times as fast as Path


def read_image(path: str) -> bytes:
    """Reads a regular file. Anything else is refused: reading a pipe might never end.

    Raises:
        OSError: if the file cannot be read.
        UnreadableImage: if it is not a regular file, or larger than MAX_FILE_BYTES.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - many times as fast as Path.stat
    except (FileNotFoundError, NotADirectoryError):
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):
        raise UnreadableImage("not a file: a broken link, a folder or a pipe")
    if status.st_size > MAX_FILE_BYTES:
        raise UnreadableImage(f"{status.st_size} bytes are more than the limit of {MAX_FILE_BYTES}")
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()


def check_classes(source: str, images: Sequence[FoundImage], remark: str = "") -> None:
    """Refuses images that no classifier can learn from.

    Args:
        source: the folder or table of the images, for the message.
        images: all images of the source.
        remark: what else the message tells, for example what was passed over.

    Raises:
        UserError: if there are no images, all of them are in `val`, or a split lacks one of the classes.
    """
    end = f" ({remark})" if remark else ""
    if not images:
        raise UserError(f"{source!r} has no images: expected {', '.join(FORMATS)} or DICOM files{end}")
    if all(image.split == "val" for image in images):
        raise UserError(f"{source!r} has no training images: expected train/{{{','.join(CLASS_NAMES)}}}{end}")
    for split in SPLITS:
        labels = {image.label for image in images if image.split == split}
        for label, class_name in enumerate(CLASS_NAMES):
            if labels and label not in labels:
                raise UserError(
                    f"{source!r} has no image in {split}/{class_name}: both classes are needed{end}"
                )
