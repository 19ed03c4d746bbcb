"""Figures with their 95 % confidence intervals."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
BOOTSTRAP_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Interval:
    """A figure and the ends of its 95 % confidence interval; all NaN where the figure is not defined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """The text on the page and on the terminal, as in `0.950 (0.912 to 0.973)`."""
        if math.isnan(self.value):
            return "not defined"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def proportion(numerator: int, denominator: int) -> Interval:
    """A proportion with its Wilson score interval; NaN where the denominator is 0.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927.
    """
    if not denominator:
        return Interval(math.nan, math.nan, math.nan)
    interval = stats.binomtest(numerator, denominator).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(numerator / denominator, float(interval.low), float(interval.high))


def mean_by_patient(values: NDArray[np.float64], patients: NDArray[np.str_], seed: int = 0) -> Interval:
    """The mean of one value per image, with its percentile bootstrap interval; NaN without images.

    Whole patients are resampled (the cluster bootstrap), as images of one patient are alike.

    Args:
        values: (images,).
        patients: the patient of each image, (images,).
        seed: seed for the resampling.
    """
    if not len(values):
        return Interval(math.nan, math.nan, math.nan)
    _, patient = np.unique(patients, return_inverse=True)
    sums, counts = np.bincount(patient, values), np.bincount(patient)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(BOOTSTRAP_RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(np.mean(values)), float(low), float(high))


def bootstrap(
    statistic: Callable[..., float], groups: Sequence[NDArray[np.float32]], seed: int = 0
) -> Interval:
    """A statistic of several groups with its percentile bootstrap interval.

    Each group is resampled by itself (a stratified bootstrap), so that its size stays the same.

    Args:
        statistic: takes one array per group.
        groups: arrays (group size,), none of them empty.
        seed: seed for the resampling.
    """
    interval = stats.bootstrap(
        groups,
        statistic,
        n_resamples=BOOTSTRAP_RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=False,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(statistic(*groups), float(interval.low), float(interval.high))
