"""How well the probabilities tell the classes apart, over all thresholds: areas under curves, Brier score."""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from pipeline.evaluation.drawing import CLASS_COLORS, square, to_png
from pipeline.evaluation.intervals import Interval, bootstrap
from pipeline.evaluation.part import Part, Subject
from pipeline.evaluation.predictions import Predictions
from tfrecords_builder.records import NORMAL, PNEUMONIA


@dataclasses.dataclass(frozen=True)
class OverThresholds:
    """Figures that need no threshold."""

    auc: Interval
    """Area under the ROC curve; its interval is a stratified percentile bootstrap."""
    average_precision: float
    """Area under the precision-recall curve, as scikit-learn sums it."""
    brier: float
    """Mean squared difference between probability and label; 0 is best."""


@dataclasses.dataclass(frozen=True)
class Discrimination:
    """The figures of this part."""

    over_thresholds: OverThresholds


def measure(predictions: Predictions) -> Discrimination:
    """Measures predictions that have images of both classes."""
    labels, probabilities = predictions.labels, predictions.probabilities
    interval = bootstrap(
        _auc_from_ranks, (probabilities[labels == PNEUMONIA], probabilities[labels == NORMAL])
    )
    return Discrimination(
        OverThresholds(
            auc=dataclasses.replace(interval, value=auc(predictions)),
            average_precision=float(average_precision_score(labels, probabilities)),
            brier=float(brier_score_loss(labels, probabilities)),
        )
    )


def auc(predictions: Predictions) -> float:
    """Area under the ROC curve of predictions that have images of both classes."""
    return float(roc_auc_score(predictions.labels, predictions.probabilities))


def _auc_from_ranks(positives: NDArray[np.float32], negatives: NDArray[np.float32]) -> float:
    """The AUC as the Mann-Whitney statistic, which is faster to resample than the curve."""
    ranks = stats.rankdata(np.concatenate([positives, negatives]))
    above = ranks[: len(positives)].sum() - len(positives) * (len(positives) + 1) / 2
    return float(above / (len(positives) * len(negatives)))


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
