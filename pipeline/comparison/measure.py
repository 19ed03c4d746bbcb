"""Measures runs on the same images, and how each differs from the first."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pipeline.comparison import delong
from pipeline.comparison.evaluated import Evaluated
from pipeline.evaluation.curves import Curves
from pipeline.evaluation.intervals import Interval, bootstrap_by_patient, proportion


@dataclasses.dataclass(frozen=True)
class OfRun:
    """The figures of one run."""

    run: str
    auc: Interval
    sensitivity: Interval
    specificity: Interval


@dataclasses.dataclass(frozen=True)
class Discordance:
    """On how many images one of two runs is right and the other one wrong."""

    only_first_right: int
    only_second_right: int
    p_value: float
    """McNemar's exact test, two-sided; NaN if there is no such image."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """How a run differs from the first one."""

    run: str
    auc_difference: Interval
    """AUC of the run less that of the first one; bootstrapped by patient."""
    delong_p_value: float
    """The p-value of DeLong's test, which takes images as independent; NaN if it is not defined."""
    pneumonia: Discordance
    """On PNEUMONIA images, at the operating points: differences of sensitivity."""
    normal: Discordance
    """On NORMAL images, at the operating points: differences of specificity."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `comparison.json` holds, beside its schema version."""

    evaluation: str
    images: int
    runs: list[OfRun]
    differences: list[Difference]
    """One for each run but the first."""


def measure(evaluated: Evaluated) -> Comparison:
    """Measures all runs, and each one against the first."""
    pneumonia, patients = evaluated.is_pneumonia, evaluated.patients
    curves = [Curves(pneumonia.astype(float), probabilities) for probabilities in evaluated.probabilities]
    of_runs = [
        OfRun(
            run,
            bootstrap_by_patient({"auc": curve.auc}, patients)["auc"],
            proportion(called[pneumonia], patients[pneumonia]),
            proportion(~called[~pneumonia], patients[~pneumonia]),
        )
        for run, curve, called in zip(evaluated.runs, curves, evaluated.called, strict=True)
    ]
    return Comparison(
        evaluated.evaluation,
        len(pneumonia),
        of_runs,
        [_difference(evaluated, curves, position) for position in range(1, len(curves))],
    )


def _difference(evaluated: Evaluated, curves: Sequence[Curves], position: int) -> Difference:
    def auc_difference(times: NDArray[np.float64]) -> float:
        return curves[position].auc(times) - curves[0].auc(times)

    pneumonia = evaluated.is_pneumonia
    first, second = evaluated.called[0] == pneumonia, evaluated.called[position] == pneumonia
    tested = delong.compare(pneumonia, evaluated.probabilities[0], evaluated.probabilities[position])
    return Difference(
        evaluated.runs[position],
        bootstrap_by_patient({"auc": auc_difference}, evaluated.patients)["auc"],
        tested.p_value,
        discordance(first[pneumonia], second[pneumonia]),
        discordance(first[~pneumonia], second[~pneumonia]),
    )


def discordance(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> Discordance:
    """Counts the images on which only one of two runs is right (McNemar, Psychometrika 1947)."""
    first, second = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    p_value = float(stats.binomtest(first, first + second).pvalue) if first + second else math.nan
    return Discordance(first, second, p_value)
