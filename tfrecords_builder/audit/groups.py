"""Groups images that share a patient or their bytes, as images of different splits should not."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping

from tfrecords_builder.audit.measurements import Measurements
from tfrecords_builder.records import CLASS_NAMES, SPLITS
from tfrecords_builder.source.images import SourceImage
from tfrecords_builder.source.names import patient_and_subtype, series
from tfrecords_builder.source.patients import digest


@dataclasses.dataclass(frozen=True)
class ImageGroup:
    """Images that share something."""

    what: str
    """What they share: the patient, the digest of the file, or the distance of their hashes in bits."""
    images: tuple[SourceImage, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of the images, in the order of SPLITS."""
        found = {image.split for image in self.images}
        return tuple(split for split in SPLITS if split in found)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the images."""
        return tuple(CLASS_NAMES[label] for label in sorted({image.label for image in self.images}))

    @property
    def patients(self) -> tuple[str, ...]:
        """The patients of the images, as the source names them."""
        return tuple(sorted({image.patient for image in self.images}))

    @property
    def is_certainly_one_child(self) -> bool:
        """Whether the images of a patient in several splits are of one child.

        They are if a table or DICOM says so. In the names of the public dataset `person7_bacteria` and
        `person7_virus` may or may not be one child, as may `IM-0115` and `NORMAL2-IM-0115`.
        """
        by_name = {patient_and_subtype(image.source)[0] for image in self.images}
        if not set(self.patients) & (by_name | set(map(digest, by_name))):
            return True
        series_and_splits = {(series(image.source), image.split) for image in self.images}
        return len(series_and_splits) > len({name for name, _ in series_and_splits})


@dataclasses.dataclass(frozen=True)
class Groups:
    """Groups of one kind, sorted by their number of splits, of classes and of patients; large ones first."""

    groups: tuple[ImageGroup, ...]

    @property
    def images(self) -> int:
        """Number of images in all groups."""
        return sum(len(group.images) for group in self.groups)

    @property
    def across_splits(self) -> int:
        """Number of groups with images of several splits."""
        return sum(len(group.splits) > 1 for group in self.groups)

    @property
    def across_classes(self) -> int:
        """Number of groups with images of both classes."""
        return sum(len(group.class_names) > 1 for group in self.groups)

    @property
    def across_patients(self) -> int:
        """Number of groups with images of several patients."""
        return sum(len(group.patients) > 1 for group in self.groups)


def shared_patients(images: Iterable[SourceImage]) -> Groups:
    """Groups the images of each patient who is in several splits."""
    images_of: dict[str, list[SourceImage]] = collections.defaultdict(list)
    for image in images:
        images_of[image.patient].append(image)
    groups = (ImageGroup(patient, tuple(images)) for patient, images in images_of.items())
    return sort_groups(group for group in groups if len(group.splits) > 1)


def identical_images(measured: Iterable[Measurements]) -> Groups:
    """Groups files that have the same bytes."""
    by_digest = images_by_digest(measured)
    return sort_groups(ImageGroup(sha256, images) for sha256, images in by_digest.items() if len(images) > 1)


def images_by_digest(measured: Iterable[Measurements]) -> Mapping[str, tuple[SourceImage, ...]]:
    """Images by the digest of their file."""
    images_of: dict[str, list[SourceImage]] = collections.defaultdict(list)
    for measurements in measured:
        images_of[measurements.sha256].append(measurements.image)
    return {sha256: tuple(images) for sha256, images in images_of.items()}


def sort_groups(groups: Iterable[ImageGroup]) -> Groups:
    """Sorts groups as `Groups` describes, and those that are equal by their first path."""

    def key(group: ImageGroup) -> tuple[int, int, int, str]:
        return (
            -len(group.splits),
            -len(group.class_names),
            -len(group.patients),
            min(image.source for image in group.images),
        )

    return Groups(tuple(sorted(groups, key=key)))
