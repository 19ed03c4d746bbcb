"""Heatmaps: which regions of an X-ray count as evidence for the label that the model gives.

Grad-CAM: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017. HiResCAM: Draelos and Carin, "Use HiResCAM instead of Grad-CAM for faithful
explanations of convolutional neural networks", arXiv 2011.08891. They differ in one line: Grad-CAM averages
the gradient of a feature over the image, HiResCAM takes it where the feature is. They agree where the
gradient is the same everywhere, as behind global average pooling.
"""

from typing import Literal, NamedTuple, get_args

import keras
import tensorflow as tf

from pipeline.network.calibrated import logit_of
from pipeline.network.names import FEATURES

Method = Literal["gradcam", "hirescam"]
METHODS: tuple[Method, ...] = get_args(Method)

_EPSILON = 1e-12  # added to a maximum that may be 0; far below every heat that matters


class Heatmaps(NamedTuple):
    """What explains a batch. A `tf.function` may return it."""

    probability: tf.Tensor
    """Probability of pneumonia, float32 (batch,)."""
    heatmap: tf.Tensor
    """float32 (batch, side, side), 0 to 1. Its maximum is 1, or 0 where nothing counts as evidence for the
    label."""
    evidence: tf.Tensor
    """How strong the map is, float32 (batch,), at least 0: the sum of its heat before it is scaled to a
    maximum of 1. It says by how many units of the logit all that counts for the label moves it, to first
    order."""


class GradCam:
    """Explains a classifier that `pipeline.model.build_model` made.

    The network is split behind its last convolution. The gradient is then taken through the dense layers
    only, so that an explanation costs hardly more than a prediction.

    Args:
        model: the classifier.
        method: how gradients become weights of the features.
    """

    def __init__(self, model: keras.Model, method: Method = "gradcam") -> None:
        self._method = method
        features = model.get_layer(FEATURES).output
        self._convolutions = keras.Model(model.inputs[0], features)
        self._head = keras.Model(features, logit_of(model))

    def __call__(self, images: tf.Tensor, threshold: float) -> Heatmaps:
        """Explains a batch.

        The explained score is the logit where the label is PNEUMONIA, and the negated logit where the label
        is NORMAL. The logit, unlike the sigmoid, does not saturate.

        Args:
            images: (batch, side, side, 1), any numeric dtype, 0 to 255.
            threshold: probability from which the label is PNEUMONIA.
        """
        return self.explain(self._convolutions(images, training=False), tf.shape(images)[1:3], threshold)

    def explain(self, features: tf.Tensor, size: tf.Tensor | tuple[int, int], threshold: float) -> Heatmaps:
        """Computes the same from the output of FEATURES.

        Args:
            features: (batch, height, width, channels).
            size: height and width of the heatmaps, in pixels.
            threshold: probability from which the label is PNEUMONIA.
        """
        features = tf.cast(features, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(features)
            logit = self._head(features, training=False)[:, 0]
        gradients = tape.gradient(logit, features)
        probability = tf.sigmoid(tf.cast(logit, tf.float32))
        towards_label = tf.where(probability >= threshold, 1.0, -1.0)[:, None, None, None]
        weights = gradients * towards_label
        if self._method == "gradcam":
            weights = tf.reduce_mean(weights, axis=(1, 2), keepdims=True)
        heat = tf.nn.relu(tf.reduce_sum(weights * features, axis=-1, keepdims=True))
        evidence = tf.reduce_sum(heat, axis=(1, 2, 3))
        heat = tf.image.resize(heat, size, method="bilinear")[..., 0]
        scaled = heat / (tf.reduce_max(heat, axis=(1, 2), keepdims=True) + _EPSILON)
        return Heatmaps(probability, scaled, evidence)
