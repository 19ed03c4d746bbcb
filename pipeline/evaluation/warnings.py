"""How many images the run warns about: no lungs were found, or the image is unlike the training images."""

import dataclasses

import numpy as np

from pipeline.evaluation.intervals import Interval, proportion
from pipeline.evaluation.part import Part, Subject
from pipeline.evaluation.predictions import Predictions
from pipeline.suitability.assessment import NO_LUNGS, UNFAMILIAR


@dataclasses.dataclass(frozen=True)
class Warnings:
    """The figures of this part."""

    warned: Interval
    """Fraction of the images that the run warns about."""
    warnings: dict[str, int]
    """Number of images by warning."""


def measure(predictions: Predictions) -> Warnings:
    """Counts the warnings."""
    warnings = np.array(predictions.warnings)
    return Warnings(
        proportion(warnings != "", predictions.patients),
        {warning: int((warnings == warning).sum()) for warning in (NO_LUNGS, UNFAMILIAR)},
    )


def measure_part(subject: Subject) -> Part:
    """The figures, without pictures."""
    return Part("warnings", measure(subject.predictions))
