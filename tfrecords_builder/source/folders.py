"""Finds the X-rays of a `chest_xray` folder and reads split, class, patient and subtype from their names."""

import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tfrecords_builder.errors import UserError
from tfrecords_builder.records import CLASS_NAMES, SPLITS, Split

SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".gif", ".dcm", ".dicom")
ARCHIVE_FOLDER = "chest_xray"  # the Kaggle archive unpacks to chest_xray/chest_xray/
SUBTYPES = ("bacteria", "virus")  # of PNEUMONIA, where a source tells them

_PNEUMONIA_NAME = re.compile(rf"(?P<patient>person\d+)_(?P<subtype>{'|'.join(SUBTYPES)})_", re.IGNORECASE)
_NORMAL_NAME = re.compile(r"(?P<patient>(?:NORMAL\d*-)?IM-\d+)-", re.IGNORECASE)
_PATIENT_FOLDER = re.compile(r"patient\d+", re.IGNORECASE)  # CheXpert: patient00001/study1/view1.jpg


@dataclasses.dataclass(frozen=True)
class SourceImage:
    """One image file, with what its place and its name say."""

    source: str
    """Path relative to the source folder, with `/`."""
    split: Split
    label: int
    patient: str
    subtype: str
    """`bacteria`, `virus` or empty."""


def find_images(folder: str) -> list[SourceImage]:
    """Finds the images in `{train,val,test}/{NORMAL,PNEUMONIA}`, in the order of their paths.

    Hidden files, `__MACOSX` and files that are no images by their suffix are passed over. Files of
    `chest_xray/` inside the folder are taken if the folder itself has no splits.

    Raises:
        UserError: if there is no such folder, or a split of it has not both classes.
    """
    root = _root(Path(folder))
    images = [image for split in SPLITS for image in _images_of_split(Path(folder), root, split)]
    check_classes(folder, images)
    return images


def patient_and_subtype(path: str) -> tuple[str, str]:
    """Who is on an image and what kind of pneumonia, by the file names of the dataset.

    `person12_bacteria_46.jpeg` is `person12`, whatever follows; `IM-0115-0001.jpeg` is `IM-0115`;
    `NORMAL2-IM-1427-0001.jpeg` is `NORMAL2-IM-1427`. Under any other name, what is in a folder like
    `patient00001` is of that patient, and any other image is a patient of its own.

    Args:
        path: file name, after the folders, with `/`, that tell it from others of the same name.
    """
    folders, _, name = path.rpartition("/")
    if found := _PNEUMONIA_NAME.match(name):
        return found["patient"].lower(), found["subtype"].lower()
    if found := _NORMAL_NAME.match(name):
        return found["patient"].upper(), ""
    for folder in folders.split("/"):
        if _PATIENT_FOLDER.fullmatch(folder):
            return folder.lower(), ""
    return str(PurePosixPath(path).with_suffix("")), ""


def check_classes(source: str, images: list[SourceImage]) -> None:
    """Refuses images that no classifier can learn from.

    Raises:
        UserError: if there are none, none of them for training, or a split has not both classes.
    """
    if not images:
        raise UserError(f"{source!r} has no images: expected files ending in {', '.join(SUFFIXES)}")
    if not any(image.split == "train" for image in images):
        raise UserError(f"{source!r} has no training images: expected train/{{{','.join(CLASS_NAMES)}}}")
    for split in SPLITS:
        labels = {image.label for image in images if image.split == split}
        for label, class_name in enumerate(CLASS_NAMES):
            if labels and label not in labels:
                raise UserError(f"{source!r} has no image in {split}/{class_name}: both classes are needed")


def _root(folder: Path) -> Path:
    """The folder that has the splits."""
    if not folder.is_dir():
        raise UserError(f"no folder {str(folder)!r}: give the folder that holds train/, val/ and test/")
    for candidate in (folder, folder / ARCHIVE_FOLDER, folder / ARCHIVE_FOLDER / ARCHIVE_FOLDER):
        if any((candidate / split).is_dir() for split in SPLITS):
            return candidate
    raise UserError(
        f"{str(folder)!r} has none of the folders {', '.join(SPLITS)}: expected "
        f"{{{','.join(SPLITS)}}}/{{{','.join(CLASS_NAMES)}}}, as the chest_xray archive has them"
    )


def _images_of_split(folder: Path, root: Path, split: Split) -> Iterator[SourceImage]:
    for label, class_name in enumerate(CLASS_NAMES):
        class_folder = root / split / class_name
        place = class_folder.relative_to(folder).as_posix()
        for path in sorted(_image_files(class_folder)):
            patient, subtype = patient_and_subtype(path)
            yield SourceImage(f"{place}/{path}", split, label, patient, subtype)


def _image_files(folder: Path) -> Iterator[str]:
    """Their paths relative to the folder, with `/`."""
    for where, folders, names in os.walk(folder):
        odd = [name for name in folders if name.lower().endswith(SUFFIXES)]  # to be reported, not searched
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX")) and name not in odd]
        inside = Path(where).relative_to(folder).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        for name in names + odd:
            if not name.startswith(".") and name.lower().endswith(SUFFIXES):
                yield prefix + name
