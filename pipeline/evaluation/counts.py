"""The first part: which split was measured, and how many images of each class it has."""

import dataclasses

from pipeline.evaluation.part import Part, Subject
from pipeline.evaluation.predictions import Predictions
from tfrecords_builder.records import CLASS_NAMES, Split


@dataclasses.dataclass(frozen=True)
class Counts:
    """What the measured split holds."""

    split: Split
    images: dict[str, int]
    """Number of images by class name."""

    def __str__(self) -> str:
        """As in `20 NORMAL, 30 PNEUMONIA`."""
        return ", ".join(f"{count} {name}" for name, count in self.images.items())


def measure(predictions: Predictions) -> Counts:
    """Counts the images of each class."""
    images = {name: int((predictions.labels == label).sum()) for label, name in enumerate(CLASS_NAMES)}
    return Counts(predictions.split, images)


def measure_part(subject: Subject) -> Part:
    """Counts, without pictures."""
    figures = measure(subject.predictions)
    return Part("counts", figures, summary=f"{figures.split}: {figures}")
