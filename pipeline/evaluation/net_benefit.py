"""Whether calls do more good than harm: decision curve analysis.

Vickers and Elkin, "Decision Curve Analysis: A Novel Method for Evaluating Prediction Models", Medical
Decision Making 2006. Who calls pneumonia from a probability t on accepts (1 - t) / t false alarms for each
pneumonia that is found. The net benefit is the share of images that are rightly called PNEUMONIA, less that
of false alarms times t / (1 - t).
"""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.drawing import CLASS_COLORS, square, to_png
from pipeline.evaluation.intervals import Interval, bootstrap_by_patient
from pipeline.evaluation.part import Part, Subject
from pipeline.evaluation.predictions import Predictions
from tfrecords_builder.records import PNEUMONIA

DRAWN_THRESHOLDS = tuple(np.arange(1, 100) / 100)


@dataclasses.dataclass(frozen=True)
class NetBenefitFigures:
    """Net benefit at the operating point; intervals bootstrapped by patient."""

    model: Interval
    """Of calling what the model calls."""
    call_all: Interval
    """Of calling every image PNEUMONIA. Calling none has a net benefit of 0."""
    gain: Interval
    """Of the model, less the larger one of calling all and calling none."""


@dataclasses.dataclass(frozen=True)
class NetBenefit:
    """The figures of this part."""

    net_benefit: NetBenefitFigures


def measure(predictions: Predictions) -> NetBenefit:
    """Measures the operating point."""
    is_pneumonia, threshold = predictions.labels == PNEUMONIA, predictions.threshold
    called, everything = predictions.called_pneumonia, np.ones_like(is_pneumonia)

    def of_model(times: NDArray[np.float64]) -> float:
        return net_benefit(called, is_pneumonia, threshold, times)

    def of_all(times: NDArray[np.float64]) -> float:
        return net_benefit(everything, is_pneumonia, threshold, times)

    measured = bootstrap_by_patient(
        {
            "model": of_model,
            "call_all": of_all,
            "gain": lambda times: of_model(times) - max(0.0, of_all(times)),
        },
        predictions.patients,
    )
    return NetBenefit(NetBenefitFigures(**measured))


def net_benefit(
    called: NDArray[np.bool_], is_pneumonia: NDArray[np.bool_], threshold: float, times: NDArray[np.float64]
) -> float:
    """The net benefit of calls, if a pneumonia is called from a probability of `threshold` on.

    Args:
        called: which images are called PNEUMONIA, (images,).
        is_pneumonia: which images are PNEUMONIA, (images,).
        threshold: 0 or more. From 1 on nothing outweighs a false alarm: the net benefit is not defined.
        times: how often each image counts, (images,).
    """
    if threshold >= 1:
        return math.nan
    found, alarmed = times @ (called & is_pneumonia), times @ (called & ~is_pneumonia)
    return float((found - alarmed * threshold / (1 - threshold)) / times.sum())


def measure_part(subject: Subject) -> Part:
    """The figures and the decision curve."""
    figures = measure(subject.predictions)
    return Part("net_benefit", figures, {"decision_curve.png": draw_curve(subject.predictions)})


def draw_curve(predictions: Predictions) -> bytes:
    """Draws the net benefit over the threshold, beside those of calling all images and none."""
    is_pneumonia, once = predictions.labels == PNEUMONIA, np.ones(len(predictions.labels))
    curves = {
        "the model": [
            net_benefit(predictions.probabilities >= threshold, is_pneumonia, threshold, once)
            for threshold in DRAWN_THRESHOLDS
        ],
        "call all": [
            net_benefit(np.ones_like(is_pneumonia), is_pneumonia, threshold, once)
            for threshold in DRAWN_THRESHOLDS
        ],
    }
    top = max(curves["call all"])
    figure, axes = square()
    for (name, values), color in zip(curves.items(), (CLASS_COLORS[PNEUMONIA], "0.5"), strict=True):
        axes.plot(DRAWN_THRESHOLDS, values, label=name, color=color)
    axes.axhline(0, color="0.8", linestyle=":", label="call none")
    axes.set(
        xlabel="threshold probability",
        ylabel="net benefit",
        title="Decision curve",
        ylim=(-0.1 * top, 1.1 * top),
    )
    axes.legend()
    return to_png(figure)
