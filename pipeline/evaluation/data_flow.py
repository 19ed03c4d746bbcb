"""Where the images of an evaluation come from: how many were found, left out, and put into each split."""

import collections
import dataclasses

from pipeline.evaluation.part import Part, Subject
from tfrecords_builder.manifest import Manifest
from tfrecords_builder.records import Split


@dataclasses.dataclass(frozen=True)
class ImagesLeftOut:
    """Images that could not be read."""

    reason: str
    images: int


@dataclasses.dataclass(frozen=True)
class SplitFlow:
    """What one split got."""

    images: dict[str, int]
    """Number of images by class name."""
    patients: int


@dataclasses.dataclass(frozen=True)
class DataFlow:
    """The figures of this part. They are of the evaluated records, but for `training_images`."""

    images_found: int
    """Number of images in the source."""
    images_left_out: list[ImagesLeftOut]
    """The most frequent reason first."""
    splits: dict[Split, SplitFlow]
    training_images: dict[str, int]
    """Number of images that the model was trained with, by class name. They may be of other records."""


def measure(records: Manifest, trained_with: Manifest) -> DataFlow:
    """Counts the images.

    Args:
        records: the `dataset.json` of the records that are evaluated.
        trained_with: that of the records of the training.
    """
    left_out = collections.Counter(entry.reason for entry in records.left_out)
    stored = sum(content.records for content in records.splits.values())
    return DataFlow(
        images_found=stored + left_out.total(),
        images_left_out=[ImagesLeftOut(*entry) for entry in left_out.most_common()],
        splits={
            split: SplitFlow(content.classes, content.patients) for split, content in records.splits.items()
        },
        training_images=trained_with.splits["train"].classes,
    )


def measure_part(subject: Subject) -> Part:
    """The figures, without pictures."""
    return Part("data_flow", measure(subject.records, subject.trained_with))
