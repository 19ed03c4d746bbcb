"""How many pneumonias of each subtype (bacteria, virus) are found at the operating point."""

import dataclasses

import numpy as np

from pipeline.evaluation.part import Part, Subject
from pipeline.evaluation.predictions import Predictions
from tfrecords_builder.records import PNEUMONIA


@dataclasses.dataclass(frozen=True)
class Subtypes:
    """The figures of this part."""

    sensitivity_of_subtype: dict[str, float]
    """Sensitivity at the operating point by subtype; only subtypes that PNEUMONIA images have."""


def measure(predictions: Predictions) -> Subtypes:
    """Measures every subtype that is known of at least one PNEUMONIA image."""
    subtypes = np.array(predictions.subtypes)
    is_known = (predictions.labels == PNEUMONIA) & (subtypes != "")
    return Subtypes(
        {
            str(subtype): float(predictions.called_pneumonia[is_known & (subtypes == subtype)].mean())
            for subtype in np.unique(subtypes[is_known])
        }
    )


def measure_part(subject: Subject) -> Part:
    """The figures, without pictures."""
    return Part("subtypes", measure(subject.predictions))
