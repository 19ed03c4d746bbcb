"""How well the probabilities tell the classes apart, over all thresholds: areas under curves, Brier score."""

import dataclasses
import functools

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from pipeline.evaluation.curves import Curves
from pipeline.evaluation.drawing import CLASS_COLORS, square, to_png
from pipeline.evaluation.intervals import Interval, bootstrap_by_patient
from pipeline.evaluation.part import Part, Subject
from pipeline.evaluation.predictions import Predictions
from tfrecords_builder.records import NORMAL, PNEUMONIA

SPECIFICITIES = (0.9, 0.95, 0.99)
"""Specificities at which the sensitivity is stated."""
SENSITIVITIES = (0.9, 0.95, 0.97, 0.99)
"""Sensitivities at which the specificity is stated."""


@dataclasses.dataclass(frozen=True)
class OverThresholds:
    """Figures that need no threshold. All intervals are bootstrapped by patient."""

    auc: Interval
    """Area under the ROC curve."""
    average_precision: Interval
    """Area under the precision-recall curve, as scikit-learn sums it."""
    brier: Interval
    """Mean squared difference between probability and label; 0 is best."""
    sensitivity_at_specificity: dict[str, Interval]
    """The largest sensitivity of a threshold whose specificity is at least the key."""
    specificity_at_sensitivity: dict[str, Interval]
    """The largest specificity of a threshold whose sensitivity is at least the key."""


@dataclasses.dataclass(frozen=True)
class Discrimination:
    """The figures of this part."""

    over_thresholds: OverThresholds


def measure(predictions: Predictions) -> Discrimination:
    """Measures predictions that have images of both classes."""
    curves = Curves(predictions.labels, predictions.probabilities)
    squares = (predictions.probabilities.astype(np.float64) - predictions.labels) ** 2
    at_specificity = {str(limit): functools.partial(curves.sensitivity_at, limit) for limit in SPECIFICITIES}
    at_sensitivity = {str(limit): functools.partial(curves.specificity_at, limit) for limit in SENSITIVITIES}
    measured = bootstrap_by_patient(
        {
            "auc": curves.auc,
            "average_precision": curves.average_precision,
            "brier": lambda times: float(times @ squares / times.sum()),
            **{f"sensitivity {limit}": statistic for limit, statistic in at_specificity.items()},
            **{f"specificity {limit}": statistic for limit, statistic in at_sensitivity.items()},
        },
        predictions.patients,
    )
    return Discrimination(
        OverThresholds(
            auc=measured["auc"],
            average_precision=measured["average_precision"],
            brier=measured["brier"],
            sensitivity_at_specificity={limit: measured[f"sensitivity {limit}"] for limit in at_specificity},
            specificity_at_sensitivity={limit: measured[f"specificity {limit}"] for limit in at_sensitivity},
        )
    )


def measure_part(subject: Subject) -> Part:
    """The figures, and both curves with the operating point on them."""
    figures = measure(subject.predictions)
    return Part(
        "discrimination",
        figures,
        pictures={
            "roc.png": draw_roc(subject.predictions),
            "precision_recall.png": draw_precision_recall(subject.predictions),
        },
        summary=f"AUC                         {figures.over_thresholds.auc}",
    )


def draw_roc(predictions: Predictions) -> bytes:
    """Draws sensitivity over 1 - specificity."""
    false_positive_rate, true_positive_rate, _ = roc_curve(predictions.labels, predictions.probabilities)
    called = predictions.called_pneumonia
    figure, axes = square()
    axes.plot(false_positive_rate, true_positive_rate, color=CLASS_COLORS[PNEUMONIA])
    axes.plot([0, 1], [0, 1], color="0.8", linestyle=":")
    axes.plot(
        called[predictions.labels == NORMAL].mean(),
        called[predictions.labels == PNEUMONIA].mean(),
        "o",
        color="black",
    )
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC curve and operating point")
    return to_png(figure)


def draw_precision_recall(predictions: Predictions) -> bytes:
    """Draws precision over recall."""
    labels, called = predictions.labels, predictions.called_pneumonia
    precision, recall, _ = precision_recall_curve(labels, predictions.probabilities)
    figure, axes = square()
    axes.plot(recall, precision, color=CLASS_COLORS[PNEUMONIA])
    if called.any():
        axes.plot(called[labels == PNEUMONIA].mean(), labels[called].mean(), "o", color="black")
    axes.set(
        xlabel="recall (sensitivity)",
        ylabel="precision",
        title="Precision, recall and operating point",
        ylim=(0, 1.02),
    )
    return to_png(figure)
