"""What the names of files and folders say: the split, the class, the patient and the subtype of an image."""

import re

from tfrecords_builder.records import CLASS_NAMES, Split
from tfrecords_builder.source.images import SUBTYPES

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Every name of a split, in lower case."""

_PNEUMONIA_NAME = re.compile(rf"(?P<patient>person\d+)_(?P<series>{'|'.join(SUBTYPES)})_", re.IGNORECASE)
_NORMAL_NAME = re.compile(r"(?P<series>(?:NORMAL\d*-)?)(?P<patient>IM-\d+)-", re.IGNORECASE)
_PATIENT_FOLDER = re.compile(r"patient\d+", re.IGNORECASE)  # CheXpert: patient00001/study1/view1.jpg
_WHOLE_NUMBER = re.compile(r"(-?\d+)\.0*")


def split_of(name: str) -> Split | None:
    """The split that a folder or a cell names, in upper or lower case, or None."""
    return SPLIT_NAMES.get(name.strip().casefold())


def class_of(name: str) -> int | None:
    """The label of the class that a folder names, in upper or lower case, or None."""
    names = [class_name.casefold() for class_name in CLASS_NAMES]
    folded = name.strip().casefold()
    return names.index(folded) if folded in names else None


def patient_and_subtype(path: str) -> tuple[str, str]:
    """Reads who is on an image, and the subtype of the pneumonia, from its path.

    `person12_bacteria_46.jpeg` shows `person12`. `IM-0115-0001.jpeg` and `NORMAL2-IM-0115-0001.jpeg` show
    `IM-0115`: whether they are one child, the names do not say, and a split by patient must not separate
    them. An image with any other name shows the patient that a folder like `patient00001` names.

    Args:
        path: file name, with the folders (and `/`) before it.

    Returns:
        The patient and the subtype; each is empty if the path does not say it.
    """
    folders, _, name = path.rpartition("/")
    if found := _PNEUMONIA_NAME.match(name):
        return found["patient"].lower(), found["series"].lower()
    if found := _NORMAL_NAME.match(name):
        return found["patient"].upper(), ""
    for folder in folders.split("/"):
        if _PATIENT_FOLDER.fullmatch(folder):
            return folder.lower(), ""
    return "", ""


def series(path: str) -> str:
    """The series of numbers that the patient's number in a file name belongs to; mostly empty.

    One number in two series may be two children: `person7_bacteria_1.jpeg` is of the series `bacteria`,
    `person7_virus_2.jpeg` of `virus`, and `NORMAL2-IM-0115-0001.jpeg` of `normal2-`.
    """
    name = path.rpartition("/")[2]
    found = _PNEUMONIA_NAME.match(name) or _NORMAL_NAME.match(name)
    return found["series"].lower() if found else ""


def whole_number(text: str) -> str:
    """Turns `7.0`, as spreadsheets write whole numbers, into `7`. Any other text stays as it is."""
    found = _WHOLE_NUMBER.fullmatch(text)
    return found[1] if found else text
