"""The threshold that turns a probability into a label. A training chooses it on `val` and stores it."""

import dataclasses
import json

import numpy as np
from numpy.typing import NDArray

FILE_NAME = "operating_point.json"
DEFAULT_TARGET_SENSITIVITY = 0.97


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """A threshold, how it was chosen, and the sensitivity and specificity it reached on those images."""

    threshold: float
    """An image is labeled PNEUMONIA if its probability is at least this."""
    target_sensitivity: float
    """The sensitivity that was asked for, above 0 and at most 1."""
    sensitivity: float
    """The sensitivity that the threshold reached, 0 to 1."""
    specificity: float
    """The specificity that the threshold reached, 0 to 1."""
    chosen_on: str
    """The split that it was chosen on."""
    rule: str
    """How it was chosen, in words."""
    labels_left_out: int = 0
    """Number of images that were left out because their label seems wrong."""
    threshold_with_all_labels: float | None = None
    """The threshold that would have been chosen on all images, if some were left out."""

    def to_json(self) -> str:
        """The text of `operating_point.json`."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "OperatingPoint":
        """Reads what `to_json` wrote."""
        return cls(**json.loads(text))


def choose(
    labels: NDArray[np.integer | np.floating],
    probabilities: NDArray[np.floating],
    target_sensitivity: float = DEFAULT_TARGET_SENSITIVITY,
    chosen_on: str = "val",
) -> OperatingPoint:
    """Chooses the threshold of highest specificity whose sensitivity is at least the target.

    The threshold lies halfway between the lowest probability that is labeled PNEUMONIA and the next lower
    one. Rounding in another runtime then moves no image across it.

    Args:
        labels: shape (n,), 0 or 1, both present.
        probabilities: shape (n,), 0 to 1.
        target_sensitivity: above 0, at most 1.
        chosen_on: names the images.

    Returns:
        The operating point.

    Raises:
        ValueError: if a class is missing.
    """
    from sklearn.metrics import roc_curve  # takes a second to load, and commands import this module

    if len(np.unique(labels)) != 2:  # noqa: PLR2004 - two classes
        raise ValueError(f"both classes are needed to choose a threshold. Received: {np.unique(labels)}")
    false_positive_rate, true_positive_rate, thresholds = roc_curve(
        labels, probabilities, drop_intermediate=False
    )
    chosen = int(np.argmax(true_positive_rate >= target_sensitivity))
    lowest_positive = float(thresholds[chosen])
    below = probabilities[probabilities < lowest_positive]
    next_lower = float(below.max()) if below.size else 0.0
    return OperatingPoint(
        threshold=(lowest_positive + next_lower) / 2,
        target_sensitivity=target_sensitivity,
        sensitivity=float(true_positive_rate[chosen]),
        specificity=1 - float(false_positive_rate[chosen]),
        chosen_on=chosen_on,
        rule="highest specificity with sensitivity at least the target",
    )
