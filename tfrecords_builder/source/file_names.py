"""Reads the patient and the subtype from the path of an image, as the public datasets name their files."""

import re
from pathlib import PurePosixPath

from tfrecords_builder.source.images import SUBTYPES

_PNEUMONIA_NAME = re.compile(rf"(?P<patient>person\d+)_(?P<subtype>{'|'.join(SUBTYPES)})_", re.IGNORECASE)
_NORMAL_NAME = re.compile(r"(?P<patient>(?:NORMAL\d*-)?IM-\d+)-", re.IGNORECASE)
_PATIENT_FOLDER = re.compile(r"patient\d+", re.IGNORECASE)  # CheXpert: patient00001/study1/view1.jpg


def patient_and_subtype(path: str) -> tuple[str, str]:
    """Reads who is on an image, and the subtype of the pneumonia, from its path.

    `person12_bacteria_46.jpeg` shows `person12`, `IM-0115-0001.jpeg` shows `IM-0115`, and
    `NORMAL2-IM-1427-0001.jpeg` shows `NORMAL2-IM-1427`. An image with any other name shows the patient that a
    folder like `patient00001` names. Without such a folder, every image counts as a patient, named like its
    path.

    Args:
        path: file name, after the folders (with `/`) that distinguish it from other files of the same name.

    Returns:
        The patient, and the subtype or an empty string.
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
