"""Whether probabilities mean what they say: of images with probability 0.3, are 30 % PNEUMONIA?"""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from pipeline.decision.calibration import logit
from pipeline.evaluation.drawing import CLASS_COLORS, square, to_png
from pipeline.evaluation.intervals import Interval, bootstrap_by_patient, proportion
from pipeline.evaluation.part import Part, Subject
from pipeline.evaluation.predictions import Predictions
from tfrecords_builder.records import PNEUMONIA

BINS = 10
"""Bins of probability, of equal width for the error, and of equally many images in the diagram."""
MOST_STEPS = 50
_FAR = 40.0  # a logit whose probability is 0 in every sum
TOLERANCE = 1e-10
"""Newton's method ends when no coefficient changes by more than this."""


@dataclasses.dataclass(frozen=True)
class CalibrationFigures:
    """How far probabilities are from frequencies. All intervals are bootstrapped by patient."""

    slope: Interval
    """Slope of the logistic regression of the labels on the logits of the probabilities (Cox, Biometrika
    1958). 1 is best; below 1, probabilities are too extreme. NaN if the classes do not overlap."""
    intercept: Interval
    """Intercept of the logistic regression with slope 1 (calibration in the large). 0 is best; below 0,
    probabilities are too high."""
    expected_error: Interval
    """Mean difference between probability and frequency in bins of equal width (Naeini et al., AAAI 2015)."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The figures of this part."""

    calibration: CalibrationFigures
    uncalibrated: CalibrationFigures | None
    """The same of the probabilities before the run's own calibration; None if it has none."""


def measure(predictions: Predictions) -> CalibrationFigures:
    """Measures predictions that have images of both classes."""
    labels, probabilities = predictions.labels.astype(np.float64), predictions.probabilities
    logits = logit(probabilities)
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    excess = probabilities.astype(np.float64) - labels

    def expected_error(times: NDArray[np.float64]) -> float:
        return float(np.abs(np.bincount(bins, times * excess, BINS)).sum() / times.sum())

    measured = bootstrap_by_patient(
        {
            "slope": lambda times: regress(labels, logits, times)[1],
            "intercept": lambda times: intercept(labels, logits, times),
            "expected_error": expected_error,
        },
        predictions.patients,
    )
    return CalibrationFigures(**measured)


def regress(
    labels: NDArray[np.float64], logits: NDArray[np.float64], times: NDArray[np.float64]
) -> tuple[float, float]:
    """Logistic regression of labels on logits, by Newton's method.

    Args:
        labels: 0 or 1, (images,).
        logits: (images,).
        times: how often each image counts, (images,).

    Returns:
        Intercept and slope, NaN if a class is missing or the logits separate the classes.
    """
    positive, negative = logits[(labels == 1) & (times > 0)], logits[(labels == 0) & (times > 0)]
    if not len(positive) or not len(negative) or positive.min() >= negative.max():
        return math.nan, math.nan
    design = np.stack([np.ones_like(logits), logits], axis=1)
    coefficients = np.array([0.0, 1.0])
    for _ in range(MOST_STEPS):
        fitted = special.expit(design @ coefficients)
        gradient = design.T @ (times * (labels - fitted))
        curvature = (design * (times * fitted * (1 - fitted))[:, None]).T @ design
        try:
            step = np.linalg.solve(curvature, gradient)
        except np.linalg.LinAlgError:
            return math.nan, math.nan
        coefficients += step
        if np.abs(step).max() < TOLERANCE:
            return float(coefficients[0]), float(coefficients[1])
    return math.nan, math.nan


def intercept(labels: NDArray[np.float64], logits: NDArray[np.float64], times: NDArray[np.float64]) -> float:
    """The intercept of the logistic regression with slope 1; NaN if a class is missing."""
    positive = float(times @ labels)
    if not 0 < positive < times.sum():
        return math.nan

    def excess(shift: float) -> float:
        return float(times @ special.expit(logits + shift)) - positive

    return float(optimize.brentq(excess, -logits.max() - _FAR, -logits.min() + _FAR))


def measure_part(subject: Subject) -> Part:
    """The figures and the reliability diagram."""
    pictures = {
        "calibration.png": draw_reliability(subject.predictions, "Reliability, in tenths of the images")
    }
    uncalibrated = None
    if (fitted := subject.run.calibration) is not None:
        before = dataclasses.replace(
            subject.predictions,
            probabilities=fitted.undo(subject.predictions.probabilities).astype(np.float32),
        )
        uncalibrated = measure(before)
        pictures["uncalibrated.png"] = draw_reliability(before, "Without the run's calibration")
    return Part("calibration", Calibration(measure(subject.predictions), uncalibrated), pictures)


def draw_reliability(predictions: Predictions, title: str) -> bytes:
    """Draws the frequency of PNEUMONIA over the mean probability, in bins of equally many images."""
    order = np.argsort(predictions.probabilities, kind="stable")
    patients = np.array(predictions.patients)
    figure, axes = square()
    axes.plot([0, 1], [0, 1], color="0.8", linestyle=":", label="best")
    for images in np.array_split(order, min(BINS, len(order))):
        frequency = proportion(predictions.labels[images] == PNEUMONIA, patients[images])
        probability = float(predictions.probabilities[images].mean())
        axes.plot([probability] * 2, [frequency.low, frequency.high], color=CLASS_COLORS[PNEUMONIA])
        axes.plot(probability, frequency.value, "o", color=CLASS_COLORS[PNEUMONIA])
    axes.set(
        xlabel="mean predicted probability",
        ylabel="frequency of PNEUMONIA",
        title=title,
    )
    return to_png(figure)
