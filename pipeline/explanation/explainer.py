"""Classifies images, explains the labels and assesses the images, in one pass through the network."""

from typing import NamedTuple

import keras
import tensorflow as tf

from pipeline.explanation.gradcam import GradCam
from pipeline.network.names import FEATURES
from pipeline.suitability.assessment import Assessment, Assessor
from pipeline.suitability.reference import Reference


class Explained(NamedTuple):
    """What is said about each image of a batch. A `tf.function` may return it."""

    probability: tf.Tensor
    """Probability of pneumonia, float32 (batch,)."""
    heatmap: tf.Tensor
    """Grad-CAM, float32 (batch, side, side), 0 to 1."""
    evidence: tf.Tensor
    """How strong the heatmap is, float32 (batch,), as of `pipeline.explanation.gradcam.Heatmaps`."""
    assessment: Assessment


class Explainer:
    """Explains a classifier that `pipeline.model.build_model` made.

    Args:
        model: the classifier.
        reference: what the training images are like; None if the run has none.
    """

    def __init__(self, model: keras.Model, reference: Reference | None) -> None:
        self._assess = Assessor(model, reference, model.get_layer(FEATURES).output)
        self._gradcam = GradCam(model)

    def __call__(self, images: tf.Tensor, threshold: float) -> Explained:
        """Explains images (batch, side, side, 1), 0 to 255, whose label is PNEUMONIA from `threshold` on."""
        features, assessment = self._assess(images)
        found = self._gradcam.explain(features, tf.shape(images)[1:3], threshold)
        return Explained(found.probability, found.heatmap, found.evidence, assessment)
