"""What the training images are like: the reference that new images are compared with.

The distance of an image is the Mahalanobis distance of its features to the nearer of the two classes (Lee et
al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks", NeurIPS
2018). What is a large distance is read from the validation images.
"""

import dataclasses
import io
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


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """The training images of both classes, and the validation images beside them."""

    class_means: NDArray[np.float32]
    """Mean features of each class, (2, features)."""
    whitening: NDArray[np.float32]
    """Matrix (features, features). The distance is the length of the difference of features, times this."""
    distances: NDArray[np.float32]
    """Distances of the validation images, in rising order, (images,)."""
    smallest_lung_area: float
    """Share of the image below which it is said that no lungs were found; 0 without lung attention."""

    def save(self, run: str) -> None:
        """Writes the reference into a run folder."""
        memory = io.BytesIO()
        np.savez(memory, **dataclasses.asdict(self))
        storage.write(storage.join(run, FILE_NAME), memory.getvalue())


def load(run: str) -> Reference | None:
    """Reads the reference of a run folder; None if an earlier version trained the run.

    Raises:
        ValueError, KeyError, zipfile.BadZipFile: if the file is damaged.
    """
    path = storage.join(run, FILE_NAME)
    if not storage.exists(path):
        return None
    fields: dict[str, Any] = storage.read_with(path, lambda local: dict(np.load(local)))
    return Reference(**fields | {"smallest_lung_area": float(fields["smallest_lung_area"])})


def fit(
    features: NDArray[np.float32],
    labels: NDArray[np.float32],
    validation_features: NDArray[np.float32],
    validation_lung_areas: NDArray[np.float32] | None,
) -> Reference:
    """Fits the reference.

    Args:
        features: features of the training images, (images, features).
        labels: labels of the training images, 0 or 1, (images,).
        validation_features: features of the validation images, (images, features).
        validation_lung_areas: lung areas of the validation images, (images,); None without lung attention.
    """
    features = features.astype(np.float64)
    deviation = np.maximum(features.std(axis=0), SMALLEST_DEVIATION)
    means = np.stack([features[labels == label].mean(axis=0) for label in (0, 1)])
    within = (features - means[labels.astype(int)]) / deviation
    correlation = within.T @ within / len(within)
    correlation = (1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(correlation))
    whitening = np.linalg.cholesky(np.linalg.inv(correlation)) / deviation[:, None]
    differences = validation_features.astype(np.float64)[:, None] - means
    distances = np.linalg.norm(differences @ whitening, axis=-1).min(axis=1)
    return Reference(
        means.astype(np.float32),
        whitening.astype(np.float32),
        np.sort(distances).astype(np.float32),
        # Half, as the smallest lungs of the validation images are lungs.
        0.0 if validation_lung_areas is None else float(np.quantile(validation_lung_areas, FALSE_ALARMS)) / 2,
    )
