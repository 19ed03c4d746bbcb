"""The features of an image by which it is compared with the training images."""

from typing import Any

import keras
from keras import ops

from pipeline.model import LUNGS, block_outputs, has_lung_attention


def add_features(model: keras.Model, *outputs: Any) -> keras.Model:
    """Builds a model that computes the features beside other outputs, in one pass through the network.

    The features are the mean and the standard deviation of every channel after every block, so that coarse
    and fine patterns of all depths count, and the lung attention of every place if the model has one.

    Args:
        model: a classifier that `pipeline.model.build_model` made.
        outputs: outputs of its layers that the new model returns as well.

    Returns:
        A model from images (batch, side, side, 1) to [*outputs, features float32 (batch, features)].
    """
    parts = []
    for block in block_outputs(model):
        block = ops.cast(block, "float32")
        parts += [ops.mean(block, axis=(1, 2)), ops.std(block, axis=(1, 2))]
    if has_lung_attention(model):
        parts.append(keras.layers.Flatten(dtype="float32")(model.get_layer(LUNGS).output))
    return keras.Model(model.inputs[0], [*outputs, ops.concatenate(parts, axis=1)])
