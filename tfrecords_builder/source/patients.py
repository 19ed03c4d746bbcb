"""Decides who is on each image: by a table, by DICOM's PatientID, or by the names of files and folders."""

import dataclasses
import hashlib
import posixpath
from collections.abc import Sequence

from tfrecords_builder.cli.progress import progress
from tfrecords_builder.decoding import DICOM
from tfrecords_builder.source.beginnings import format_of
from tfrecords_builder.source.dicom_patient import read_patient_id
from tfrecords_builder.source.images import FoundImage, SourceImage, image_path
from tfrecords_builder.source.names import patient_and_subtype
from tfrecords_builder.source.settings import SourceOptions

DIGEST_DIGITS = 16
"""Number of hexadecimal digits of a patient's digest: 64 bits."""


@dataclasses.dataclass(frozen=True)
class NamedImages:
    """Images whose patients are known, and those whose patients are not."""

    images: list[SourceImage]
    unknown: list[SourceImage]
    """The images that count as patients of their own, as nothing says who is on them."""


def name_patients(folder: str, found: Sequence[FoundImage], options: SourceOptions) -> NamedImages:
    """Decides who is on each image.

    Args:
        folder: folder that the paths of the images start from.
        found: the images.
        options: whether the PatientID is read, and whether patients become digests.

    Raises:
        UserError: if an image is DICOM and pydicom is not installed.
    """
    images, unknown = [], []
    for image in progress(found, len(found), "looking for patients", quiet_if_quick=True):
        by_name, subtype = patient_and_subtype(image.name)
        patient = image.patient or _patient_id(folder, image, options) or by_name
        named = SourceImage(
            source=image.source,
            split=image.split,
            label=image.label,
            patient=patient or posixpath.splitext(image.name)[0],
            subtype=subtype if image.subtype is None else image.subtype,
            details=image.details,
        )
        if options.patient_digest:
            named = dataclasses.replace(named, patient=digest(named.patient))
        images.append(named)
        if not patient:
            unknown.append(named)
    return NamedImages(images, unknown)


def _patient_id(folder: str, image: FoundImage, options: SourceOptions) -> str:
    if not options.dicom_patient_id:
        return ""
    path = image_path(folder, image.source)
    return read_patient_id(path) if format_of(path) == DICOM else ""


def digest(patient: str) -> str:
    """The digest that stands for a patient's identifier."""
    encoded = patient.encode("utf-8", "surrogateescape")
    return hashlib.sha256(encoded).hexdigest()[:DIGEST_DIGITS]
