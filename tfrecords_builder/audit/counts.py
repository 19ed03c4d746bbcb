"""Counts the images and patients of each split and class."""

import collections
import dataclasses
from collections.abc import Iterable, Sequence

from tfrecords_builder.records import CLASS_NAMES, SPLITS
from tfrecords_builder.source.images import SourceImage


@dataclasses.dataclass(frozen=True)
class ClassCount:
    """The images of one class in one split, readable or not."""

    images: int
    subtypes: dict[str, int]
    """Number of images by subtype; images without a subtype are not counted."""
    images_of_patient: dict[str, int]
    """Number of images by patient."""

    @property
    def patients(self) -> int:
        """Number of patients."""
        return len(self.images_of_patient)

    @property
    def images_with_siblings(self) -> int:
        """Number of images whose patient has another image in this split and class."""
        return sum(count for count in self.images_of_patient.values() if count > 1)


def count_images(images: Iterable[SourceImage]) -> dict[str, dict[str, ClassCount]]:
    """Counts images by split and class; splits without images are left out."""
    images_of: dict[tuple[str, int], list[SourceImage]] = collections.defaultdict(list)
    for image in images:
        images_of[image.split, image.label].append(image)
    splits = [split for split in SPLITS if any(split == other for other, _ in images_of)]
    return {
        split: {name: _class_count(images_of[split, label]) for label, name in enumerate(CLASS_NAMES)}
        for split in splits
    }


def _class_count(images: Sequence[SourceImage]) -> ClassCount:
    subtypes = collections.Counter(image.subtype for image in images if image.subtype)
    patients = collections.Counter(image.patient for image in images)
    return ClassCount(len(images), dict(sorted(subtypes.items())), dict(sorted(patients.items())))
