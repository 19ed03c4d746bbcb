"""The ROC and the precision-recall curve of images that count different numbers of times."""

import math

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-9
"""So much a rate may fall short of a limit, as sums of floating-point numbers do."""


class Curves:
    """Sorts predictions once, so that figures of many resamples are fast.

    Every figure is NaN if one of the classes is missing. With all `times` 1 it is that of scikit-learn.

    Args:
        labels: 0 or 1, (images,).
        probabilities: (images,). Images of equal probability lie at the same place of the curves.
    """

    def __init__(self, labels: NDArray[np.floating], probabilities: NDArray[np.floating]) -> None:
        values, self._place = np.unique(-probabilities, return_inverse=True)
        self._places = len(values)
        self._labels = labels.astype(np.float64)

    def _counts(self, times: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The positive and the negative images at each place, from the highest probability down."""
        positive, negative = times * self._labels, times * (1 - self._labels)
        return (
            np.bincount(self._place, positive, self._places).astype(np.float64),
            np.bincount(self._place, negative, self._places).astype(np.float64),
        )

    def auc(self, times: NDArray[np.float64]) -> float:
        """Area under the ROC curve (the Mann-Whitney statistic; ties count half)."""
        positive, negative = self._counts(times)
        pairs = positive.sum() * negative.sum()
        if not pairs:
            return math.nan
        below = negative.sum() - np.cumsum(negative) + negative / 2
        return float(positive @ below / pairs)

    def average_precision(self, times: NDArray[np.float64]) -> float:
        """Area under the precision-recall curve, summed in steps."""
        positive, negative = self._counts(times)
        if not positive.sum() or not negative.sum():
            return math.nan
        found = np.cumsum(positive)
        called = np.maximum(found + np.cumsum(negative), 1.0)
        return float(positive @ (found / called) / positive.sum())

    def sensitivity_at(self, specificity: float, times: NDArray[np.float64]) -> float:
        """The largest sensitivity of a threshold with at least this specificity."""
        positive, negative = self._counts(times)
        return _largest(positive, negative, 1 - specificity)

    def specificity_at(self, sensitivity: float, times: NDArray[np.float64]) -> float:
        """The largest specificity of a threshold with at least this sensitivity."""
        positive, negative = self._counts(times)
        return _largest(negative[::-1], positive[::-1], 1 - sensitivity)


def _largest(gained: NDArray[np.float64], lost: NDArray[np.float64], limit: float) -> float:
    """The largest share of `gained`, summed from the first on, while that of `lost` is at most the limit."""
    if not gained.sum() or not lost.sum():
        return math.nan
    within = np.cumsum(lost) / lost.sum() <= limit + ROUNDING
    return float(np.cumsum(gained)[within].max(initial=0.0) / gained.sum())
