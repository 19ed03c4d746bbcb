"""Finds the X-rays of a `chest_xray` folder, whose folders say the split and the class."""

import dataclasses
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tfrecords_builder.errors import UserError
from tfrecords_builder.ownership import SYSTEM_FILES
from tfrecords_builder.records import CLASS_NAMES, SPLITS, Split
from tfrecords_builder.source import lung_masks, table_rows
from tfrecords_builder.source.beginnings import READ_FORMATS, format_of
from tfrecords_builder.source.images import SUFFIXES, FoundImage, image_path
from tfrecords_builder.source.names import class_of, split_of
from tfrecords_builder.source.passed_over import PassedOver
from tfrecords_builder.source.walk import READ_ALREADY, File, entries, files_below, is_folder

ARCHIVE_FOLDER = "chest_xray"
"""The Kaggle archive unpacks to chest_xray/chest_xray/."""

_DICOM_INDEX = "dicomdir"  # name of a file that lists DICOM files, and has no pixels
_MAX_FILES_COUNTED = 100_000  # in a folder that is passed over


@dataclasses.dataclass(frozen=True)
class ClassFolder:
    """A folder with the images of one split and class."""

    path: str
    """Path relative to the source folder, with `/`."""
    split: Split
    label: int
    is_linked: bool


def find_images(folder: str, passed_over: PassedOver) -> tuple[list[FoundImage], list[str]]:
    """Finds the images in `{train,val,test}/{NORMAL,PNEUMONIA}`.

    The names of these folders may be in upper or lower case. An image is a file that starts as an image does,
    or is named like one. If the folder itself has no splits, they are looked for in `chest_xray/` inside it.

    Args:
        folder: the source folder.
        passed_over: gets the files that are not read.

    Returns:
        The images, in the order of their splits, classes and paths, and sentences about folders that are read
        as one.

    Raises:
        UserError: if there is no such folder, a folder cannot be listed, or links put one file into several
            splits or classes.
    """
    class_folders = list(_class_folders(folder, _folder_of_splits(folder), passed_over))
    first_of: dict[str, FoundImage] = {}  # by real path
    # Links come last: what they lead to is found under its own path if it has one.
    for class_folder in sorted(class_folders, key=lambda found: (found.is_linked, found.path)):
        files = _image_files(folder, class_folder, passed_over)
        for file in sorted(files, key=lambda file: (file.is_linked, file.path)):
            source = f"{class_folder.path}/{file.path}"
            image = FoundImage(source, class_folder.split, class_folder.label, name=file.path)
            first = first_of.setdefault(file.real_path, image)
            if first is not image:
                _refuse_other_place(folder, first, image)
                passed_over.add(READ_ALREADY, source)
    images = sorted(
        first_of.values(), key=lambda image: (SPLITS.index(image.split), image.label, image.source)
    )
    return images, _folders_read_as_one(class_folders)


def _folder_of_splits(folder: str) -> str:
    """The folder that has the splits: the source folder (an empty text), or one inside it."""
    if Path(folder).is_file():
        raise UserError(
            f"{folder!r} is a file: give a folder, or a table that ends in {', '.join(table_rows.SUFFIXES)}"
        )
    if not Path(folder).is_dir():
        raise UserError(f"no folder {folder!r}: give the folder that holds train/, val/ and test/")
    for nested in ("", ARCHIVE_FOLDER, f"{ARCHIVE_FOLDER}/{ARCHIVE_FOLDER}"):
        candidate = image_path(folder, nested)
        if Path(candidate).is_dir() and any(split_of(e.name) and is_folder(e) for e in entries(candidate)):
            return nested
    raise UserError(
        f"{folder!r} has none of the folders {', '.join(SPLITS)}: expected "
        f"{{{','.join(SPLITS)}}}/{{{','.join(CLASS_NAMES)}}}, as in the chest_xray archive"
    )


def _class_folders(folder: str, root: str, passed_over: PassedOver) -> Iterator[ClassFolder]:
    """The folders of all splits and classes; everything beside them is passed over."""
    for entry in entries(image_path(folder, root)):
        path = f"{root}/{entry.name}".lstrip("/")
        split = split_of(entry.name)
        if entry.name == lung_masks.FOLDER and is_folder(entry):
            continue  # the synthesizer's
        if split is None or not is_folder(entry):
            _pass_over(entry, path, passed_over)
            continue
        for child in entries(entry.path):
            child_path = f"{path}/{child.name}"
            label = class_of(child.name)
            if label is None or not is_folder(child):
                _pass_over(child, child_path, passed_over)
                continue
            yield ClassFolder(child_path, split, label, entry.is_symlink() or child.is_symlink())


def _pass_over(entry: os.DirEntry[str], path: str, passed_over: PassedOver) -> None:
    """Counts an image outside the class folders, or the files of a folder that is none of them.

    Other files are expected there: a license, for example.
    """
    if not is_folder(entry):
        if image_format := format_of(entry.path):
            passed_over.add(f"{image_format} outside the folders of classes", path)
        return
    names = (name for _, _, names in os.walk(entry.path) for name in names)
    num_files = sum(1 for _ in itertools.islice(names, _MAX_FILES_COUNTED))
    passed_over.add("files in other folders", path, num_files)


def _image_files(folder: str, class_folder: ClassFolder, passed_over: PassedOver) -> Iterator[File]:
    """The images of a class folder; every other file is passed over.

    Hidden files are only counted if they are images: systems write many others.
    """
    for file in files_below(image_path(folder, class_folder.path), passed_over, f"{class_folder.path}/"):
        source = f"{class_folder.path}/{file.path}"
        name = Path(source).name
        is_hidden = name.startswith(".") or SYSTEM_FILES.fullmatch(name)
        if name.lower().endswith(SUFFIXES) and not is_hidden:
            yield file
            continue
        image_format = format_of(image_path(folder, source))
        if is_hidden:
            passed_over.add("hidden images", source, num_files=int(image_format is not None))
        elif name.lower() == _DICOM_INDEX:
            passed_over.add("DICOMDIR", source)
        elif image_format in READ_FORMATS:
            yield file
        else:
            passed_over.add(image_format or _kind_by_name(image_path(folder, source)), source)


def _kind_by_name(path: str) -> str:
    if not Path(path).exists():
        return "broken links"
    return Path(path).suffix.lower() or "files without a suffix"


def _refuse_other_place(folder: str, first: FoundImage, second: FoundImage) -> None:
    """Refuses links that make a file an image of two splits or classes.

    Raises:
        UserError: naming both paths.
    """
    if (first.split, first.label) != (second.split, second.label):
        raise UserError(
            f"{first.source!r} and {second.source!r} of {folder!r} are one file, as one of them is a link: "
            "it can be in one split and class only; remove one of them"
        )


def _folders_read_as_one(class_folders: Sequence[ClassFolder]) -> list[str]:
    """A sentence that names the folders of one split and class that have several."""
    paths_of: dict[str, list[str]] = {}
    for found in class_folders:
        paths_of.setdefault(f"{found.split}/{CLASS_NAMES[found.label]}", []).append(found.path)
    several = [
        f"{', '.join(map(repr, paths[:-1]))} and {paths[-1]!r} are {place}"
        for place, paths in paths_of.items()
        if len(paths) > 1
    ]
    return [f"folders read as one: {'; '.join(several)}"] if several else []
