"""How much of the heat lies in the lungs, and whether its peak does, by groups of images."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.intervals import Interval, mean_by_patient
from pipeline.evaluation.predictions import Predictions
from tfrecords_builder.records import CLASS_NAMES, PNEUMONIA


@dataclasses.dataclass(frozen=True)
class HeatInLungs:
    """Means over images with a lung mask and with heat; the intervals are bootstrapped by patient."""

    images: int
    """Number of these images."""
    share_of_heat: Interval
    """Share of the heat of an image that lies in the lungs."""
    share_of_area: Interval
    """Share of the area of an image that the lungs take: what evenly spread heat would give."""
    ratio: float
    """Share of heat divided by share of area; NaN without such images."""
    peak_in_lung: Interval
    """Fraction of the images whose hottest pixel lies in a lung."""


@dataclasses.dataclass(frozen=True, eq=False)
class HeatOfImages:
    """What is measured in each of n images; NaN in images without a mask or without heat."""

    share_of_heat: NDArray[np.float64]
    share_of_area: NDArray[np.float64]
    peak_in_lung: NDArray[np.float64]


def measure_images(
    heatmaps: NDArray[np.float32], lungs: NDArray[np.bool_], known: NDArray[np.bool_]
) -> HeatOfImages:
    """Measures every image of a batch.

    Args:
        heatmaps: (batch, side, side), 0 or more.
        lungs: (batch, side, side), true in the lungs.
        known: (batch,), whether an image has a lung mask.
    """
    total = heatmaps.sum(axis=(1, 2), dtype=np.float64)
    measured = known & (total > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (heatmaps * lungs).sum(axis=(1, 2), dtype=np.float64) / total
    hottest = heatmaps.reshape(len(heatmaps), -1).argmax(axis=1)
    peak = lungs.reshape(len(lungs), -1)[np.arange(len(lungs)), hottest]
    return HeatOfImages(
        *(np.where(measured, values, np.nan) for values in (share, lungs.mean(axis=(1, 2)), peak))
    )


def join(batches: list[HeatOfImages]) -> HeatOfImages:
    """Joins the measurements of all batches."""
    rows = zip(*(vars(batch).values() for batch in batches), strict=True)
    return HeatOfImages(*(np.concatenate(row) for row in rows))


def measure(heat: HeatOfImages, predictions: Predictions) -> dict[str, HeatInLungs]:
    """The means by group of images: all, by the label that is given, and by right and wrong labels."""
    called = predictions.called_pneumonia
    right = called == (predictions.labels == PNEUMONIA)
    groups = {"all": np.ones_like(called)}
    groups |= {f"called {name}": called == bool(label) for label, name in enumerate(CLASS_NAMES)}
    groups |= {"right": right, "wrong": ~right}
    return {name: _means(heat, group, predictions.patients) for name, group in groups.items()}


def _means(heat: HeatOfImages, group: NDArray[np.bool_], patients: tuple[str, ...]) -> HeatInLungs:
    chosen = group & np.isfinite(heat.share_of_heat)
    of_patients = np.array(patients)[chosen]
    share, area, peak = (
        mean_by_patient(values[chosen], of_patients)
        for values in (heat.share_of_heat, heat.share_of_area, heat.peak_in_lung)
    )
    return HeatInLungs(int(chosen.sum()), share, area, share.value / area.value, peak)
