"""Whether the model is worse for some images than for others.

Images are grouped by subtype, by how they were acquired, by the size and the aspect of the original image, by
warning, and by the columns of a table that the builder was told to keep (`--table.keep`).
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.curves import Curves
from pipeline.evaluation.intervals import (
    UNDEFINED,
    Interval,
    bootstrap_by_patient,
    p_value_of_difference,
    proportion,
)
from pipeline.evaluation.part import Part, Subject
from pipeline.evaluation.predictions import Predictions
from pipeline.input.arrays import Images
from tfrecords_builder.records import PNEUMONIA

SIGNIFICANCE = 0.05
TERCILES = ("low", "middle", "high")
MOST_VALUES = 10
"""A column with more different values is divided into terciles if all are numbers, or else left out."""
NO_TEXT = "(empty)"
"""Name of the group of the images for which a column has no text."""

QUANTITIES: Mapping[str, Callable[[NDArray[np.uint8]], float]] = {
    "brightness": lambda image: float(image.mean()),
    "contrast": lambda image: float(image.std()),
    "sharpness": lambda image: float(cv2.Laplacian(image, cv2.CV_64F).std()),
}
"""How an image (side, side, 1) was acquired, as a number: mean and standard deviation of its gray levels, and
the standard deviation of its Laplacian."""


@dataclasses.dataclass(frozen=True)
class Subgroup:
    """The figures of some of the images, at the operating point."""

    images: dict[str, int]
    """Number of images by class name."""
    auc: Interval
    """Not defined if a class is missing."""
    sensitivity: Interval
    specificity: Interval
    sensitivity_p_value: float
    """Of the difference between its sensitivity and that of all other images: Fisher's exact one, adjusted
    for the number of differences that are tested (Holm, Scandinavian Journal of Statistics 1979). NaN if one
    of the two is not defined."""
    specificity_p_value: float
    """The same of its specificity."""

    @property
    def sensitivity_differs(self) -> bool:
        """Whether its sensitivity differs beyond chance."""
        return self.sensitivity_p_value < SIGNIFICANCE

    @property
    def specificity_differs(self) -> bool:
        """Whether its specificity differs beyond chance."""
        return self.specificity_p_value < SIGNIFICANCE

    @property
    def differs(self) -> bool:
        """Whether one of the differences is beyond chance."""
        return self.sensitivity_differs or self.specificity_differs


@dataclasses.dataclass(frozen=True)
class Subgroups:
    """The figures of this part."""

    subgroups: dict[str, dict[str, Subgroup]]
    """By what the images are divided by, and by the name of the group."""
    left_out_columns: tuple[str, ...]
    """Columns of the table with too many different values that are no numbers."""


def measure(predictions: Predictions, images: Images) -> Subgroups:
    """Measures all groups.

    Args:
        predictions: what the run predicts.
        images: (n, side, side, 1), 0 to 255, in the same order.
    """
    groups = divide(predictions, images)
    p_values = iter(
        adjust(_p_values(predictions, [mask for masks in groups.values() for mask in masks.values()]))
    )
    return Subgroups(
        {
            kind: {
                name: _measure_group(predictions, mask, next(p_values), next(p_values))
                for name, mask in masks.items()
            }
            for kind, masks in groups.items()
        },
        tuple(name for name in predictions.columns if _column_kind(name) not in groups),
    )


def divide(predictions: Predictions, images: Images) -> dict[str, dict[str, NDArray[np.bool_]]]:
    """Which images are in each group, (n,), by what they are divided by and by the name of the group."""
    subtypes, warned = np.array(predictions.subtypes), np.array(predictions.warnings) != ""
    groups = {"subtype": {str(subtype): subtypes == subtype for subtype in np.unique(subtypes) if subtype}}
    measured = np.array([[quantity(image) for quantity in QUANTITIES.values()] for image in images])
    groups |= {name: _terciles(values) for name, values in zip(QUANTITIES, measured.T, strict=True)}
    if predictions.sizes.all():
        width, height = predictions.sizes.T
        groups["original aspect"] = _terciles(width / height)
        groups["original pixels"] = _terciles(width * height)
    groups["warning"] = {"warned": warned, "not warned": ~warned}
    groups |= {_column_kind(name): _divide_column(cells) for name, cells in predictions.columns.items()}
    return {
        kind: {name: mask for name, mask in masks.items() if mask.any()}
        for kind, masks in groups.items()
        if any(mask.any() for mask in masks.values())
    }


def _terciles(values: NDArray[np.floating]) -> dict[str, NDArray[np.bool_]]:
    """The thirds of the images by a quantity; none if it is the same for all."""
    if values.min() == values.max():
        return {}
    tercile = np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values)
    return {name: tercile == number for number, name in enumerate(TERCILES)}


def _column_kind(name: str) -> str:
    """What images are divided by if it is a column of the table."""
    return f"column {name}"


def _divide_column(cells: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """The groups of a column, by its values or by terciles of its numbers; none if it has too many values."""
    texts = np.array(cells)
    empty = texts == ""
    values = np.unique(texts[~empty])
    if len(values) <= MOST_VALUES:
        groups = {str(value): texts == value for value in values}
    else:
        try:
            numbers = texts[~empty].astype(np.float64)
        except ValueError:
            return {}
        if not np.isfinite(numbers).all():
            return {}
        groups = {name: np.zeros(len(texts), np.bool_) for name in TERCILES}
        for name, mask in _terciles(numbers).items():
            groups[name][~empty] = mask
    return groups | {NO_TEXT: empty}


def adjust(p_values: Sequence[float]) -> list[float]:
    """Holm's adjustment of several p-values; those that are NaN are not counted."""
    adjusted, order = list(p_values), [int(position) for position in np.argsort(p_values)]
    defined = [position for position in order if not math.isnan(p_values[position])]
    largest = 0.0
    for rank, position in enumerate(defined):
        largest = max(largest, min(1.0, (len(defined) - rank) * p_values[position]))
        adjusted[position] = largest
    return adjusted


def _p_values(predictions: Predictions, masks: Sequence[NDArray[np.bool_]]) -> list[float]:
    """For each group the p-values of its sensitivity and of its specificity, not adjusted."""
    called, is_pneumonia = predictions.called_pneumonia, predictions.labels == PNEUMONIA
    patients = np.array(predictions.patients)
    return [
        p_value_of_difference(called[among], mask[among], patients[among])
        for mask in masks
        for among in (is_pneumonia, ~is_pneumonia)
    ]


def _measure_group(
    predictions: Predictions, mask: NDArray[np.bool_], sensitivity_p_value: float, specificity_p_value: float
) -> Subgroup:
    is_pneumonia, called = predictions.labels == PNEUMONIA, predictions.called_pneumonia
    patients = np.array(predictions.patients)
    positive, negative = mask & is_pneumonia, mask & ~is_pneumonia
    auc = UNDEFINED
    if positive.any() and negative.any():
        curves = Curves(predictions.labels[mask], predictions.probabilities[mask])
        auc = bootstrap_by_patient({"auc": curves.auc}, patients[mask])["auc"]
    return Subgroup(
        images={"NORMAL": int(negative.sum()), "PNEUMONIA": int(positive.sum())},
        auc=auc,
        sensitivity=proportion(called[positive], patients[positive]),
        specificity=proportion(~called[negative], patients[negative]),
        sensitivity_p_value=sensitivity_p_value,
        specificity_p_value=specificity_p_value,
    )


def measure_part(subject: Subject) -> Part:
    """The figures, without pictures."""
    return Part("subgroups", measure(subject.predictions, subject.images))
