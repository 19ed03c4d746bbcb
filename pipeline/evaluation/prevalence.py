"""What a call is worth where pneumonia is rarer or more frequent than among the measured images."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.intervals import Interval, bootstrap_by_patient
from pipeline.evaluation.part import Part, Subject
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.thresholds import rate
from tfrecords_builder.records import PNEUMONIA


@dataclasses.dataclass(frozen=True)
class PredictiveValues:
    """Predictive values at one prevalence, by Bayes' theorem; intervals bootstrapped by patient."""

    precision: Interval
    """Positive predictive value: probability of pneumonia where PNEUMONIA is called."""
    negative_predictive_value: Interval
    """Probability of no pneumonia where NORMAL is called."""


@dataclasses.dataclass(frozen=True)
class Prevalence:
    """The figures of this part."""

    at_prevalence: dict[str, PredictiveValues]
    """By prevalence, at the operating point."""


def measure(predictions: Predictions, prevalences: Sequence[float]) -> Prevalence:
    """Measures each prevalence, a share of patients above 0 and below 1."""
    called, is_pneumonia = predictions.called_pneumonia, predictions.labels == PNEUMONIA

    def values(times: NDArray[np.float64], prevalence: float) -> tuple[float, float]:
        sensitivity, specificity = rate(called, is_pneumonia, times), rate(~called, ~is_pneumonia, times)
        found, missed = prevalence * sensitivity, prevalence * (1 - sensitivity)
        cleared, alarmed = (1 - prevalence) * specificity, (1 - prevalence) * (1 - specificity)
        return _share(found, alarmed), _share(cleared, missed)

    statistics = {}
    for prevalence in prevalences:
        for position in range(2):
            statistics[f"{prevalence:g} {position}"] = (
                lambda times, prevalence=prevalence, position=position: values(times, prevalence)[position]
            )
    measured = bootstrap_by_patient(statistics, predictions.patients)
    return Prevalence(
        {
            f"{prevalence:g}": PredictiveValues(
                *(measured[f"{prevalence:g} {position}"] for position in range(2))
            )
            for prevalence in prevalences
        }
    )


def _share(right: float, wrong: float) -> float:
    return right / (right + wrong) if right + wrong else math.nan


def measure_part(subject: Subject) -> Part:
    """The figures, without pictures."""
    return Part("prevalence", measure(subject.predictions, subject.prevalences))
