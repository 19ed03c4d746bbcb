"""What the training images are like: the reference that new images are compared with.

Images are described twice, by features of the classifier and by histograms of gradients (see `features`). The
distance of an image is the Mahalanobis distance of its features to the nearer of the two classes (Lee et al.,
"A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks", NeurIPS 2018).
What is a large distance is read from the validation images, and an image is as untypical as the description
says that finds it less typical.
"""

import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfrecords_builder import storage

FILE_NAME = "reference.npz"
FALSE_ALARMS = 0.01
"""Share of the validation images that are called unlike the training images."""
SHRINKAGE = 1e-3
"""Share of the unit matrix in the correlation of the features: without it, features that are almost copies of
others would make tiny differences look large."""
SMALLEST_DEVIATION = 1e-6
"""Smallest standard deviation that a feature is divided by."""

_PREFIXES = ("", "gradients_")
"""Begin the names of a description's arrays in the file. Earlier versions wrote the first only."""


@dataclasses.dataclass(frozen=True, eq=False)
class Description:
    """The training images of both classes by one kind of features, and the validation images beside them."""

    class_means: NDArray[np.float32]
    """Mean features of each class, (2, features)."""
    whitening: NDArray[np.float32]
    """Matrix (features, features). The distance is the length of the difference of features, times this."""
    distances: NDArray[np.float32]
    """Distances of the validation images, in rising order, (images,)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """What the training images are like."""

    descriptions: tuple[Description, ...]
    """In the order of `pipeline.suitability.features.Features`. Runs of earlier versions have only the
    first."""
    farther: NDArray[np.int32]
    """How many validation images are farther away than each validation image, by the description that finds
    fewer; in rising order, (images,)."""
    smallest_lung_area: float
    """Share of the image below which it is said that no lungs were found; 0 without lung attention."""

    def save(self, run: str) -> None:
        """Writes the reference into a run folder."""
        arrays: dict[str, Any] = {}
        for prefix, description in zip(_PREFIXES, self.descriptions, strict=False):
            for name, array in vars(description).items():
                arrays[prefix + name] = array
        memory = io.BytesIO()
        np.savez(memory, **arrays, farther=self.farther, smallest_lung_area=self.smallest_lung_area)
        storage.write(storage.join(run, FILE_NAME), memory.getvalue())


def load(run: str) -> Reference | None:
    """Reads the reference of a run folder; None if an earlier version trained the run.

    Raises:
        ValueError, KeyError, zipfile.BadZipFile: if the file is damaged.
    """
    path = storage.join(run, FILE_NAME)
    if not storage.exists(path):
        return None
    arrays: dict[str, Any] = storage.read_with(path, lambda local: dict(np.load(local)))
    names = [field.name for field in dataclasses.fields(Description)]
    descriptions = tuple(
        Description(**{name: arrays[prefix + name] for name in names})
        for prefix in _PREFIXES
        if f"{prefix}distances" in arrays
    )
    of_one = np.arange(len(descriptions[0].distances), dtype=np.int32)
    return Reference(descriptions, arrays.get("farther", of_one), float(arrays["smallest_lung_area"]))


def fit(
    features: Sequence[NDArray[np.float32]],
    labels: NDArray[np.float32],
    validation_features: Sequence[NDArray[np.float32]],
    validation_lung_areas: NDArray[np.float32] | None,
) -> Reference:
    """Fits the reference.

    Args:
        features: features of the training images by description, each (images, features).
        labels: labels of the training images, 0 or 1, (images,).
        validation_features: features of the validation images by description, each (images, features).
        validation_lung_areas: lung areas of the validation images, (images,); None without lung attention.
    """
    fitted = [_fit(*both, labels) for both in zip(features, validation_features, strict=True)]
    farther = [
        len(distances) - np.searchsorted(description.distances, distances, side="right")
        for description, distances in fitted
    ]
    return Reference(
        tuple(description for description, _ in fitted),
        np.sort(np.min(farther, axis=0)).astype(np.int32),
        # Half, as the smallest lungs of the validation images are lungs.
        0.0 if validation_lung_areas is None else float(np.quantile(validation_lung_areas, FALSE_ALARMS)) / 2,
    )


def _fit(
    features: NDArray[np.float32], validation_features: NDArray[np.float32], labels: NDArray[np.float32]
) -> tuple[Description, NDArray[np.float32]]:
    """Fits one description; returns it and the distances of the validation images in their own order."""
    features = features.astype(np.float64)
    deviation = np.maximum(features.std(axis=0), SMALLEST_DEVIATION)
    means = np.stack([features[labels == label].mean(axis=0) for label in (0, 1)])
    within = (features - means[labels.astype(int)]) / deviation
    correlation = within.T @ within / len(within)
    correlation = (1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(correlation))
    whitening = np.linalg.cholesky(np.linalg.inv(correlation)) / deviation[:, None]
    differences = validation_features.astype(np.float64)[:, None] - means
    distances = np.linalg.norm(differences @ whitening, axis=-1).min(axis=1).astype(np.float32)
    description = Description(means.astype(np.float32), whitening.astype(np.float32), np.sort(distances))
    return description, distances
