"""The score of a model, by which a search ranks: how well it tells the classes apart on changed images, too.

Validation images of the same hospital hardly tell good models apart: every model is almost perfect on them.
So the score also counts what happens when they are exposed, focused or positioned differently, and whether
the threshold that is chosen on the unchanged images still holds.

For the unchanged validation images, and for each change of `pipeline.evaluation.acquisition`, take the AUC,
and the mean of sensitivity and specificity at the threshold that is chosen on the unchanged images. The score
is the mean of all these numbers, 0 to 1.

Predicting takes time that a search wants to spend on training. So each change is made to another part of the
images, with at least LEAST_OF_A_CLASS of each class: where there are many images, each of them is predicted
twice, as it is and changed in one way.
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
LEAST_OF_A_CLASS = 10
"""Each change is made to so many images of each class, or to all if there are fewer."""


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
    unchanged: NDArray[np.floating],
    target_sensitivity: float,
) -> Score:
    """Scores a model.

    Args:
        predict: returns probabilities of pneumonia (n,) for images (n, side, side, 1).
        images: validation images uint8 (n, side, side, 1).
        labels: 0 or 1, shape (n,), both present.
        unchanged: what `predict` returns for these images.
        target_sensitivity: the sensitivity of the operating point.
    """
    from sklearn.metrics import roc_auc_score  # takes a second to load

    images, labels, unchanged = images[:MOST_IMAGES], labels[:MOST_IMAGES], unchanged[:MOST_IMAGES]
    point = operating_point.choose(labels, unchanged, Rule(target=target_sensitivity))
    parts = parts_to_change(labels)
    truths = [labels, *(labels[part] for part in parts)]
    versions = [unchanged, *_predict_changed(predict, images, parts)]
    pairs = list(zip(truths, versions, strict=True))
    aucs = [float(roc_auc_score(truth, version)) for truth, version in pairs]
    accuracies = [_balanced_accuracy(truth, version, point.threshold) for truth, version in pairs]
    return Score(
        score=float(np.mean([aucs, accuracies])),
        auc=aucs[0],
        lowest_auc=min(aucs),
        sensitivity=point.sensitivity,
        specificity=point.specificity,
        balanced_accuracy_after_changes=float(np.mean(accuracies[1:])),
    )


def parts_to_change(labels: NDArray[np.floating]) -> list[NDArray[np.int64]]:
    """The positions of the images to which each of CHANGES is made.

    Args:
        labels: 0 or 1, shape (n,), both present.
    """
    of_classes = [np.flatnonzero(labels == label) for label in (0, 1)]
    step = min(len(CHANGES), max(1, min(map(len, of_classes)) // LEAST_OF_A_CLASS))
    return [
        np.sort(np.concatenate([of_class[number % step :: step] for of_class in of_classes]))
        for number in range(len(CHANGES))
    ]


def _predict_changed(
    predict: Callable[[NDArray[np.uint8]], NDArray[np.floating]],
    images: NDArray[np.uint8],
    parts: list[NDArray[np.int64]],
) -> list[NDArray[np.floating]]:
    """Makes each change to its part of the images, and predicts all of them together."""
    changes = zip(parts, CHANGES.values(), strict=True)
    changed = [change_images(images[part], change) for part, change in changes]
    ends = np.cumsum([len(part) for part in parts])
    return np.split(predict(np.concatenate(changed)), ends[:-1])


def _balanced_accuracy(
    labels: NDArray[np.floating], probabilities: NDArray[np.floating], threshold: float
) -> float:
    called = probabilities >= threshold
    return float((called[labels == 1].mean() + (~called[labels == 0]).mean()) / 2)
