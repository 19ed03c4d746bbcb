"""Figures with their 95 % confidence intervals. Images of one patient are alike, so patients are counted."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
BOOTSTRAP_RESAMPLES = 2000
FEWEST_RESAMPLES = 400
MOST_RESAMPLED_IMAGES = 40_000_000
"""With more images in all resamples together there are fewer resamples, but at least `FEWEST_RESAMPLES`."""
MOST_UNDEFINED = 0.05
"""Share of the resamples in which a figure may be undefined, for example for want of a class."""

Statistic = Callable[[NDArray[np.float64]], float]
"""Returns a figure of images that count so often (images,); NaN where it is not defined."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A figure and the ends of its 95 % confidence interval; NaN where they are not defined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """The text on the page and on the terminal, as in `0.950 (0.912 to 0.973)`."""
        if math.isnan(self.value):
            return "not defined"
        if math.isnan(self.low):
            return f"{self.value:.3f} (interval not defined)"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


UNDEFINED = Interval(math.nan, math.nan, math.nan)


def proportion(hits: NDArray[np.bool_], patients: Sequence[str] | NDArray[np.str_]) -> Interval:
    """The fraction of the images that are hits, with an interval that allows for images of one patient.

    It is Wilson's score interval ("Probable Inference, the Law of Succession, and Statistical Inference",
    JASA 1927) of as many independent images as `effective_images` says.

    Args:
        hits: (images,).
        patients: the patient of each image, (images,).
    """
    if not len(hits):
        return UNDEFINED
    value, effective = float(np.mean(hits)), effective_images(hits, patients)
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    center = value + z * z / (2 * effective)
    half = z * math.sqrt(value * (1 - value) / effective + (z / (2 * effective)) ** 2)
    scale = 1 + z * z / effective
    return Interval(value, max(0.0, (center - half) / scale), min(1.0, (center + half) / scale))


def effective_images(hits: NDArray[np.bool_], patients: Sequence[str] | NDArray[np.str_]) -> float:
    """How many independent images tell as much of the fraction of hits.

    Rao and Scott, "A Simple Method for the Analysis of Clustered Binary Data", Biometrics 1992: the number of
    images divided by the variance of the fraction between patients over its binomial variance. If all images
    are hits or none is, it is the number of patients.
    """
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    images, found, value = np.bincount(patient), np.bincount(patient, hits), float(np.mean(hits))
    if not 0 < value < 1:
        return float(len(images))
    between = float(((found - value * images) ** 2).sum()) / len(hits)
    return len(hits) / max(1.0, between / (value * (1 - value)))


def p_value_of_difference(
    hits: NDArray[np.bool_], group: NDArray[np.bool_], patients: NDArray[np.str_]
) -> float:
    """The two-sided p-value of the difference between the fractions of hits in a group and outside.

    It is Fisher's exact one, of as many independent images as `effective_images` says.

    Args:
        hits: (images,).
        group: which images are in the group, (images,).
        patients: the patient of each image, (images,).

    Returns:
        The p-value; NaN if all images are in the group, or none is.
    """
    if not len(group) or group.all() or not group.any():
        return math.nan
    table = []
    for side in (group, ~group):
        effective = effective_images(hits[side], patients[side])
        found = round(float(hits[side].mean()) * effective)
        table.append([found, round(effective) - found])
    return float(stats.fisher_exact(table).pvalue)


def bootstrap_by_patient(
    statistics: Mapping[str, Statistic], patients: Sequence[str] | NDArray[np.str_], seed: int = 0
) -> dict[str, Interval]:
    """Figures with percentile bootstrap intervals. Whole patients are resampled (the cluster bootstrap).

    Args:
        statistics: the figures by name; each is computed in the same resamples.
        patients: the patient of each image, (images,).
        seed: seed for the resampling.

    Returns:
        The figures by name. An interval is not defined if there is only one patient, or if the figure is
        undefined in more than `MOST_UNDEFINED` of the resamples.
    """
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    count = int(patient.max(initial=-1)) + 1
    generator = np.random.default_rng(seed)
    affordable = MOST_RESAMPLED_IMAGES // max(1, len(patient))
    resamples = min(BOOTSTRAP_RESAMPLES, max(FEWEST_RESAMPLES, affordable))
    drawn = np.full((resamples, len(statistics)), np.nan)
    for row in range(resamples if count > 1 else 0):
        times = np.bincount(generator.integers(count, size=count), minlength=count)[patient].astype(float)
        drawn[row] = [statistic(times) for statistic in statistics.values()]
    once = np.ones(len(patient))
    return {
        name: _percentiles(statistic(once), drawn[:, column])
        for column, (name, statistic) in enumerate(statistics.items())
    }


def _percentiles(value: float, drawn: NDArray[np.float64]) -> Interval:
    if math.isnan(value):
        return UNDEFINED
    if np.isnan(drawn).mean() > MOST_UNDEFINED:
        return Interval(value, math.nan, math.nan)
    low, high = np.nanquantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value, float(low), float(high))


def mean_by_patient(values: NDArray[np.float64], patients: NDArray[np.str_], seed: int = 0) -> Interval:
    """The mean of one value per image, with its interval as of `bootstrap_by_patient`; NaN without images.

    Args:
        values: (images,).
        patients: the patient of each image, (images,).
        seed: seed for the resampling.
    """
    if not len(values):
        return UNDEFINED
    mean = {"mean": lambda times: float(times @ values / times.sum())}
    return bootstrap_by_patient(mean, patients, seed)["mean"]
