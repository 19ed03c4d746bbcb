"""How the figures change when the same images are exposed, focused or positioned differently.

On images of one source nearly every model has good figures. Models differ in how they take images that were
acquired in another way.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pipeline.evaluation.acquisition import CHANGES, change_images
from pipeline.evaluation.part import Part, Subject
from pipeline.evaluation.predictions import Predictions
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.records import PNEUMONIA

UNCHANGED = "as it is"


@dataclasses.dataclass(frozen=True)
class AfterChange:
    """Figures of the changed images, at the operating point that was chosen on unchanged ones."""

    auc: float
    sensitivity: float
    specificity: float


@dataclasses.dataclass(frozen=True)
class Robustness:
    """The figures of this part."""

    robustness: dict[str, AfterChange]
    """Figures by name of the change; UNCHANGED comes first."""


def measure(
    predictions: Predictions,
    images: NDArray[np.uint8],
    predict: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
) -> Robustness:
    """Predicts the images anew after each change; one changed copy of the images is in memory at a time.

    Args:
        predictions: what was predicted for the unchanged images.
        images: the unchanged images (n, side, side, 1), 0 to 255.
        predict: returns probabilities of pneumonia (n,) for such images.
    """
    measured = {UNCHANGED: _figures(predictions)}
    for name, change in progress(CHANGES.items(), len(CHANGES), "measuring changed images"):
        probabilities = predict(change_images(images, change))
        measured[name] = _figures(dataclasses.replace(predictions, probabilities=probabilities))
    return Robustness(measured)


def _figures(predictions: Predictions) -> AfterChange:
    called, is_pneumonia = predictions.called_pneumonia, predictions.labels == PNEUMONIA
    return AfterChange(
        auc=float(roc_auc_score(predictions.labels, predictions.probabilities)),
        sensitivity=float(called[is_pneumonia].mean()),
        specificity=float((~called[~is_pneumonia]).mean()),
    )


def measure_part(subject: Subject) -> Part:
    """The figures, without pictures."""
    some = subject.sample(subject.MOST_CHANGED)
    return Part("robustness", measure(some.predictions, some.images[:], subject.predict))
