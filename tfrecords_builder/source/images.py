"""One X-ray of a source, and what every source needs: images of both classes in every split."""

import dataclasses
from collections.abc import Sequence

from tfrecords_builder.decoding import DICOM_SUFFIXES
from tfrecords_builder.decoding import SUFFIXES as COMMON_SUFFIXES
from tfrecords_builder.errors import UserError
from tfrecords_builder.records import CLASS_NAMES, SPLITS, Split

SUFFIXES = (*COMMON_SUFFIXES, *DICOM_SUFFIXES)
"""Ends of the names of the image files that a source may have, in lower case."""

SUBTYPES = ("bacteria", "virus")
"""Subtypes of PNEUMONIA. Not every source knows them."""


@dataclasses.dataclass(frozen=True)
class SourceImage:
    """One image file, and what the source says about it."""

    source: str
    """Path relative to the source folder, with `/`."""
    split: Split
    label: int
    patient: str
    subtype: str
    """One of SUBTYPES, or empty."""


def check_classes(source: str, images: Sequence[SourceImage]) -> None:
    """Refuses images that no classifier can learn from.

    Args:
        source: the folder or table of the images, for the message.
        images: all images of the source.

    Raises:
        UserError: if there are no images, none of them is in `train`, or a split lacks one of the classes.
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
