"""Measures how well single numbers of an image predict its class: a model might use them as shortcuts."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from tfrecords_builder.audit.measurements import Measurements
from tfrecords_builder.records import CLASS_NAMES, SPLITS

CHANCE = 0.5
"""The AUC of a number that does not depend on the class."""

QUANTITIES: dict[str, Callable[[Measurements], float]] = {
    "width": lambda measured: measured.width,
    "height": lambda measured: measured.height,
    "aspect ratio": lambda measured: measured.aspect_ratio,
    "mean gray": lambda measured: measured.mean_grey,
}
"""The numbers that are tried. Width and height are in pixels, gray levels are 0 to 255."""


@dataclasses.dataclass(frozen=True)
class Distribution:
    """Five numbers that summarize the values of a quantity, in its unit."""

    least: float
    lower_quartile: float
    median: float
    upper_quartile: float
    largest: float


@dataclasses.dataclass(frozen=True)
class Shortcut:
    """How well one number of an image predicts its class."""

    quantity: str
    of_class: dict[str, Distribution]
    auc: float | None
    """Area under the ROC curve over all splits, 0.5 (no relation to the class) to 1 (decides the class),
    whichever class has the larger numbers. None if the readable images are of one class."""
    larger_in: str | None
    """The class that has the larger numbers, or None if neither has."""
    auc_of_split: dict[str, float | None]
    """The same area within each split."""


def measure_shortcut(measured: Sequence[Measurements], quantity: str) -> Shortcut:
    """Measures how well one of QUANTITIES predicts the class."""
    return measure_values(
        measured, quantity, np.array([QUANTITIES[quantity](m) for m in measured], np.float64)
    )


def measure_values(measured: Sequence[Measurements], quantity: str, values: NDArray[np.float64]) -> Shortcut:
    """Measures how well one value of each image, (images,), predicts the class."""
    labels = np.array([m.image.label for m in measured], np.int64)
    splits = np.array([m.image.split for m in measured], dtype=str)
    auc_of_pneumonia = _auc(labels, values)
    return Shortcut(
        quantity=quantity,
        of_class={
            name: _distribution(values[labels == label])
            for label, name in enumerate(CLASS_NAMES)
            if (labels == label).any()
        },
        auc=_for_either_class(auc_of_pneumonia),
        larger_in=_class_with_larger_values(auc_of_pneumonia),
        auc_of_split={
            split: _for_either_class(_auc(labels[splits == split], values[splits == split]))
            for split in SPLITS
            if split in splits
        },
    )


def _auc(labels: NDArray[np.int64], values: NDArray[np.float64]) -> float | None:
    """The area under the ROC curve if larger values mean PNEUMONIA; None without images of both classes."""
    return float(roc_auc_score(labels, values)) if len(np.unique(labels)) == len(CLASS_NAMES) else None


def _for_either_class(auc: float | None) -> float | None:
    return None if auc is None else max(auc, 1 - auc)


def _class_with_larger_values(auc: float | None) -> str | None:
    if auc is None or auc == CHANCE:
        return None
    return CLASS_NAMES[int(auc > CHANCE)]


def _distribution(values: NDArray[np.float64]) -> Distribution:
    return Distribution(*map(float, np.percentile(values, [0, 25, 50, 75, 100])))
