"""Compares the AUCs of two models on the same images.

DeLong, DeLong and Clarke-Pearson, "Comparing the Areas under Two or More Correlated Receiver Operating
Characteristic Curves", Biometrics 1988; from ranks, as Sun and Xu compute it (IEEE Signal Processing Letters
2014).
"""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats


@dataclasses.dataclass(frozen=True)
class DeLong:
    """The AUCs of two models and how surely they differ."""

    auc: tuple[float, float]
    standard_error: float
    """Standard error of their difference."""
    p_value: float
    """Two-sided; NaN if the models rank all images in the same way, or a class has fewer than two images."""


def compare(
    is_pneumonia: NDArray[np.bool_], first: NDArray[np.floating], second: NDArray[np.floating]
) -> DeLong:
    """Compares two models. Images are taken as independent.

    Args:
        is_pneumonia: (images,), with images of both classes.
        first: probabilities of one model, (images,).
        second: probabilities of the other one, (images,).
    """
    positives, negatives = int(is_pneumonia.sum()), int((~is_pneumonia).sum())
    of_positives, of_negatives = zip(
        *(_components(is_pneumonia, model) for model in (first, second)), strict=True
    )
    auc = (float(of_positives[0].mean()), float(of_positives[1].mean()))
    if min(positives, negatives) < 2:  # noqa: PLR2004 - a variance needs two
        return DeLong(auc, math.nan, math.nan)
    covariance = np.cov(of_positives) / positives + np.cov(of_negatives) / negatives
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if variance <= 0:
        return DeLong(auc, 0.0, math.nan)
    error = math.sqrt(variance)
    return DeLong(auc, error, float(2 * stats.norm.sf(abs(auc[0] - auc[1]) / error)))


def _components(
    is_pneumonia: NDArray[np.bool_], probabilities: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns, for each positive image, the share of negative ones below it, and the reverse."""
    positive, negative = probabilities[is_pneumonia], probabilities[~is_pneumonia]
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    below = (ranks[: len(positive)] - stats.rankdata(positive)) / len(negative)
    above = 1 - (ranks[len(positive) :] - stats.rankdata(negative)) / len(positive)
    return below, above
