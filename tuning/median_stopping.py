"""Stops a trial that is worse than most others were after as many epochs.

Golovin et al., "Google Vizier: A Service for Black-Box Optimization", KDD 2017, section 3.2.2.
"""

import statistics
from collections.abc import Sequence

import keras

from pipeline.training.recipe import MONITOR

FEWEST_TRIALS = 5
"""So many finished trials are needed before one is stopped."""
FEWEST_EPOCHS = 2
"""No trial is stopped before so many epochs."""

Curve = list[float]
"""The validation losses of a trial, one for each epoch."""


class StopTrialError(Exception):
    """A trial is worse than the median of the others."""


def is_below_median(curve: Curve, others: Sequence[Curve]) -> bool:
    """Whether the best loss of a trial is worse than the median of the mean losses of the others so far.

    Args:
        curve: the losses of the trial so far.
        others: the losses of finished trials; those that ended before are passed over.
    """
    epochs = len(curve)
    compared = [other for other in others if len(other) >= epochs]
    if epochs < FEWEST_EPOCHS or len(compared) < FEWEST_TRIALS:
        return False
    means = [statistics.mean(other[:epochs]) for other in compared]
    return min(curve) > statistics.median(means)


class MedianStopping(keras.callbacks.Callback):
    """Keras callback that ends a training by StopTrialError.

    Args:
        others: the losses of finished trials. With none, nothing is stopped.
        curve: the losses of the trial so far.
    """

    def __init__(self, others: Sequence[Curve], curve: Sequence[float] = ()) -> None:
        super().__init__()
        self._others = others
        self._curve = list(curve)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Compares the trial with the others."""
        self._curve.append((logs or {})[MONITOR])
        if is_below_median(self._curve, self._others):
            raise StopTrialError
