"""Counts and rates at two thresholds: the run's operating point, and 0.5."""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.drawing import CLASS_COLORS, square, to_png
from pipeline.evaluation.intervals import Interval, bootstrap_by_patient, proportion
from pipeline.evaluation.part import Part, Subject
from pipeline.evaluation.predictions import Predictions
from tfrecords_builder.records import CLASS_NAMES, PNEUMONIA

HALF = 0.5

_TITLE_WIDTH = 25  # characters; the longest name of a rate


@dataclasses.dataclass(frozen=True)
class AtThreshold:
    """Counts and rates at one threshold. PNEUMONIA is the positive class; an undefined rate is NaN."""

    threshold: float
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    accuracy: Interval
    """Fraction of the images that are called what they are."""
    sensitivity: Interval
    """Recall: fraction of the PNEUMONIA images that are called PNEUMONIA."""
    specificity: Interval
    """Fraction of the NORMAL images that are called NORMAL."""
    precision: Interval
    """Positive predictive value, at the prevalence of these images."""
    negative_predictive_value: Interval
    """Fraction of the images called NORMAL that are NORMAL, at the prevalence of these images."""
    balanced_accuracy: Interval
    """Mean of sensitivity and specificity."""
    f1: Interval
    """Harmonic mean of precision and sensitivity."""


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """The figures of this part."""

    at_operating_point: AtThreshold
    at_half: AtThreshold


def measure(predictions: Predictions) -> Thresholds:
    """Measures both thresholds."""
    return Thresholds(
        at_operating_point=at_threshold(predictions, predictions.threshold),
        at_half=at_threshold(predictions, HALF),
    )


def at_threshold(predictions: Predictions, threshold: float) -> AtThreshold:
    """Measures one threshold: images with at least this probability are called PNEUMONIA."""
    called, is_pneumonia = predictions.probabilities >= threshold, predictions.labels == PNEUMONIA
    patients = np.array(predictions.patients)

    def fraction(right: NDArray[np.bool_], among: NDArray[np.bool_]) -> Interval:
        return proportion(right[among], patients[among])

    def balanced_accuracy(times: NDArray[np.float64]) -> float:
        return (rate(called, is_pneumonia, times) + rate(~called, ~is_pneumonia, times)) / 2

    def f1(times: NDArray[np.float64]) -> float:
        denominator = times @ called + times @ is_pneumonia
        return float(2 * (times @ (called & is_pneumonia)) / denominator) if denominator else math.nan

    resampled = bootstrap_by_patient({"balanced_accuracy": balanced_accuracy, "f1": f1}, patients)
    everything = np.ones_like(called)
    return AtThreshold(
        threshold=threshold,
        true_positives=int((called & is_pneumonia).sum()),
        false_positives=int((called & ~is_pneumonia).sum()),
        true_negatives=int((~called & ~is_pneumonia).sum()),
        false_negatives=int((~called & is_pneumonia).sum()),
        accuracy=fraction(called == is_pneumonia, everything),
        sensitivity=fraction(called, is_pneumonia),
        specificity=fraction(~called, ~is_pneumonia),
        precision=fraction(is_pneumonia, called),
        negative_predictive_value=fraction(~is_pneumonia, ~called),
        **resampled,
    )


def rate(hits: NDArray[np.bool_], among: NDArray[np.bool_], times: NDArray[np.float64]) -> float:
    """The fraction of some images that are hits, if each image counts so often; NaN if none is left."""
    total = float(times @ among)
    return float(times @ (hits & among)) / total if total else math.nan


def measure_part(subject: Subject) -> Part:
    """The figures, the confusion matrix at the operating point, and the histogram of the probabilities."""
    figures = measure(subject.predictions)
    return Part(
        "thresholds",
        figures,
        pictures={
            "confusion.png": draw_confusion(figures.at_operating_point),
            "probabilities.png": draw_histogram(subject.predictions),
        },
        summary="\n".join(
            [
                f"at the operating point {figures.at_operating_point.threshold:.4f}",
                *_rates(figures.at_operating_point),
                f"at the threshold {figures.at_half.threshold:.4f}",
                *_rates(figures.at_half),
            ]
        ),
    )


def _rates(at: AtThreshold) -> list[str]:
    """One line of text per rate."""
    values = vars(at).items()
    return [f"  {name:<{_TITLE_WIDTH}} {value}" for name, value in values if isinstance(value, Interval)]


def draw_confusion(at: AtThreshold) -> bytes:
    """Draws the four counts; the color of a field is its share of the row."""
    counts = np.array([[at.true_negatives, at.false_positives], [at.false_negatives, at.true_positives]])
    share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    figure, axes = square()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if share[row, column] > 0.5 else "black"  # noqa: PLR2004 - the middle of the colors
        axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=18)
    axes.set_xticks(range(len(CLASS_NAMES)), CLASS_NAMES)
    axes.set_yticks(range(len(CLASS_NAMES)), CLASS_NAMES)
    axes.set(xlabel="predicted label", ylabel="true label", title="Images at the operating point")
    return to_png(figure)


def draw_histogram(predictions: Predictions) -> bytes:
    """Draws how the probabilities of each class are distributed."""
    figure, axes = square()
    for label, name in enumerate(CLASS_NAMES):
        axes.hist(
            predictions.probabilities[predictions.labels == label],
            bins=np.linspace(0, 1, 41).tolist(),
            alpha=0.6,
            label=name,
            color=CLASS_COLORS[label],
        )
    threshold = predictions.threshold
    axes.axvline(threshold, color="black", linewidth=1, label=f"operating point {threshold:.3f}")
    axes.set(xlabel="probability of pneumonia", ylabel="images", title="Probabilities", yscale="log")
    axes.legend()
    return to_png(figure)
