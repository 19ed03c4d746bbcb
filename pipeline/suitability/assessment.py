"""Lung area, familiarity and warning of images. The exported graph runs these operations, too."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pipeline.suitability.features import Network
from pipeline.suitability.reference import FALSE_ALARMS, Description, Reference

NO_LUNGS = "no lungs found"
UNFAMILIAR = "unlike the training images"
UNKNOWN = -1.0
"""Lung area of a model without lung attention, and familiarity of a run without a reference."""


class Assessment(NamedTuple):
    """What is said about each image of a batch beside its probability. A `tf.function` may return it."""

    lung_area: tf.Tensor
    """Share of the image that the lungs take, 0 to 1, float32 (batch,); UNKNOWN without lung attention."""
    familiarity: tf.Tensor
    """Share of the validation images that are less typical of the training images, 0 to 1, float32 (batch,);
    UNKNOWN without a reference."""
    warning: tf.Tensor
    """NO_LUNGS, UNFAMILIAR or empty, string (batch,)."""
    lungs: tf.Tensor | None
    """The lung attention, float32 (batch, height, width, 1), 0 to 1; None if the model has none."""


class Assessor:
    """Computes an output of a classifier, and assesses the images in the same pass through the network.

    Args:
        model: a classifier that `pipeline.model.build_model` made.
        reference: what the training images are like; None if the run has none.
        output: the output of one of its layers.
    """

    def __init__(self, model: keras.Model, reference: Reference | None, output: keras.KerasTensor) -> None:
        self._network = Network(model, output)
        self._reference = reference

    def __call__(self, images: tf.Tensor) -> tuple[tf.Tensor, Assessment]:
        """Computes the output for images (batch, side, side, 1), 0 to 255, and assesses them."""
        output, features, lungs = self._network(images)
        return output, assess(features, lungs, self._reference)


def assess(features: Sequence[tf.Tensor], lungs: tf.Tensor | None, reference: Reference | None) -> Assessment:
    """Assesses a batch.

    Args:
        features: what `pipeline.suitability.features` computes: the descriptions of the images, each float32
            (batch, features).
        lungs: the lung attention, float32 (batch, height, width, 1); None if the model has none.
        reference: what the training images are like; None if the run has none.
    """
    unknown = tf.fill(tf.shape(features[0])[:1], UNKNOWN)
    lung_area = unknown if lungs is None else tf.reduce_mean(lungs, axis=(1, 2, 3))
    if reference is None:
        return Assessment(lung_area, unknown, tf.fill(tf.shape(unknown), ""), lungs)
    familiarity = _familiarity(features, reference)
    no_lungs = tf.constant(False) if lungs is None else lung_area < reference.smallest_lung_area
    unfamiliar = tf.where(familiarity < FALSE_ALARMS, UNFAMILIAR, "")
    return Assessment(lung_area, familiarity, tf.where(no_lungs, NO_LUNGS, unfamiliar), lungs)


def _familiarity(features: Sequence[tf.Tensor], reference: Reference) -> tf.Tensor:
    # Runs of earlier versions have only the first description.
    pairs = zip(features, reference.descriptions, strict=False)
    farther = tf.reduce_min([_count_farther(*pair) for pair in pairs], axis=0)
    less_typical = tf.searchsorted(tf.constant(reference.farther), farther, side="left")
    return tf.cast(less_typical, tf.float32) / np.float32(len(reference.farther))


def _count_farther(features: tf.Tensor, description: Description) -> tf.Tensor:
    """How many validation images are farther from the training images, int32 (batch,)."""
    whitened = features @ description.whitening
    class_means = tf.constant(description.class_means @ description.whitening)
    distances = tf.reduce_min(tf.norm(whitened[:, None] - class_means, axis=-1), axis=1)
    rank = tf.searchsorted(tf.constant(description.distances), distances, side="right")
    return len(description.distances) - rank
