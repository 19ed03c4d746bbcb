"""The score of a model, by which a search ranks: how well it tells the classes apart on changed images, too.

Validation images of the same hospital hardly tell good models apart: every model is almost perfect on them.
So the score also counts what happens when they are exposed, focused or positioned differently, and whether
the threshold that is chosen on the unchanged images still holds.

For each version of the validation images (unchanged, and after each change of
`pipeline.evaluation.acquisition`), take the AUC, and the mean of sensitivity and specificity at the threshold
that is chosen on the unchanged images. The score is the mean of all these numbers, 0 to 1.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.decision import operating_point
from pipeline.decision.operating_point import Rule
from pipeline.evaluation.acquisition import CHANGES, change_images

MOST_IMAGES = 2000
"""So many validation images are scored at most. Records are shuffled when they are built, so that the first
are a fair sample."""


@dataclasses.dataclass(frozen=True)
class Score:
    """How good a model is on validation images, and the numbers that make the score."""

    score: float
    """What a search ranks by, 0 to 1."""
    auc: float
    """AUC on the unchanged images."""
    lowest_auc: float
    """AUC after the change that costs most."""
    sensitivity: float
    """Sensitivity at the operating point, on the unchanged images."""
    specificity: float
    """Specificity at the operating point, on the unchanged images."""
    balanced_accuracy_after_changes: float
    """Mean of sensitivity and specificity after all changes, at the same threshold."""


def score(
    predict: Callable[[NDArray[np.uint8]], NDArray[np.floating]],
    images: NDArray[np.uint8],
    labels: NDArray[np.floating],
    target_sensitivity: float,
) -> Score:
    """Scores a model.

    Args:
        predict: returns probabilities of pneumonia (n,) for images (n, side, side, 1).
        images: validation images uint8 (n, side, side, 1).
        labels: 0 or 1, shape (n,), both present.
        target_sensitivity: the sensitivity of the operating point.
    """
    from sklearn.metrics import roc_auc_score  # takes a second to load

    images, labels = images[:MOST_IMAGES], labels[:MOST_IMAGES]
    unchanged = predict(images)
    point = operating_point.choose(labels, unchanged, Rule(target=target_sensitivity))
    changed = [predict(change_images(images, change)) for change in CHANGES.values()]
    versions = [unchanged, *changed]
    aucs = [float(roc_auc_score(labels, probabilities)) for probabilities in versions]
    accuracies = [_balanced_accuracy(labels, version, point.threshold) for version in versions]
    return Score(
        score=float(np.mean([aucs, accuracies])),
        auc=aucs[0],
        lowest_auc=min(aucs),
        sensitivity=point.sensitivity,
        specificity=point.specificity,
        balanced_accuracy_after_changes=float(np.mean(accuracies[1:])),
    )


def _balanced_accuracy(
    labels: NDArray[np.floating], probabilities: NDArray[np.floating], threshold: float
) -> float:
    called = probabilities >= threshold
    return float((called[labels == 1].mean() + (~called[labels == 0]).mean()) / 2)
