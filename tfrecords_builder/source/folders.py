"""Finds the X-rays of a `chest_xray` folder, whose folders say the split and the class."""

import os
from collections.abc import Iterator
from pathlib import Path

from tfrecords_builder.errors import UserError
from tfrecords_builder.records import CLASS_NAMES, SPLITS, Split
from tfrecords_builder.source.file_names import patient_and_subtype
from tfrecords_builder.source.images import SUFFIXES, SourceImage, check_classes

ARCHIVE_FOLDER = "chest_xray"
"""The Kaggle archive unpacks to chest_xray/chest_xray/."""

_IGNORED_FOLDERS = (".", "__MACOSX")  # starts of the names of folders that are not searched


def find_images(folder: str) -> list[SourceImage]:
    """Finds the images in `{train,val,test}/{NORMAL,PNEUMONIA}`, in the order of their paths.

    Hidden files, `__MACOSX` and files without a suffix of images are ignored. If the folder itself has no
    splits, they are looked for in `chest_xray/` inside it.

    Raises:
        UserError: if there is no such folder, or one of its splits lacks one of the classes.
    """
    root = _folder_of_splits(Path(folder))
    images = [image for split in SPLITS for image in _images_of_split(Path(folder), root, split)]
    check_classes(folder, images)
    return images


def _folder_of_splits(folder: Path) -> Path:
    if not folder.is_dir():
        raise UserError(f"no folder {str(folder)!r}: give the folder that holds train/, val/ and test/")
    for candidate in (folder, folder / ARCHIVE_FOLDER, folder / ARCHIVE_FOLDER / ARCHIVE_FOLDER):
        if any((candidate / split).is_dir() for split in SPLITS):
            return candidate
    raise UserError(
        f"{str(folder)!r} has none of the folders {', '.join(SPLITS)}: expected "
        f"{{{','.join(SPLITS)}}}/{{{','.join(CLASS_NAMES)}}}, as in the chest_xray archive"
    )


def _images_of_split(folder: Path, root: Path, split: Split) -> Iterator[SourceImage]:
    for label, class_name in enumerate(CLASS_NAMES):
        class_folder = root / split / class_name
        prefix = class_folder.relative_to(folder).as_posix()
        for path in sorted(_image_files(class_folder)):
            patient, subtype = patient_and_subtype(path)
            yield SourceImage(f"{prefix}/{path}", split, label, patient, subtype)


def _image_files(folder: Path) -> Iterator[str]:
    """The paths of the image files below a folder, relative to it, with `/`."""
    for parent, folders, names in os.walk(folder):
        # A folder named like an image is not searched. It is returned, and later reported as unreadable.
        named_like_images = [name for name in folders if name.lower().endswith(SUFFIXES)]
        folders[:] = [
            name
            for name in folders
            if not name.startswith(_IGNORED_FOLDERS) and name not in named_like_images
        ]
        relative = Path(parent).relative_to(folder).as_posix()
        prefix = "" if relative == "." else f"{relative}/"
        for name in names + named_like_images:
            if not name.startswith(".") and name.lower().endswith(SUFFIXES):
                yield prefix + name
