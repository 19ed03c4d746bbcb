"""The classifier: blocks of convolutions, lung attention, global pooling, dense layers, sigmoid.

With lung attention, a convolution of 1x1 pixels on the last features says for every place how probably it is
in a lung, and the features are averaged with these probabilities as weights. The classifier then decides by
what is in the lungs, and says where it takes the lungs to be. Without it, all places count alike.
"""

import itertools
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pipeline.network.blocks import convolutions
from pipeline.network.layers import Layers
from pipeline.network.names import CONVOLVED, FEATURES, LOGIT, LUNG_LOGITS, LUNGS, MODEL_NAME
from pipeline.training.settings import ModelConfig

SMALLEST_MEAN_ATTENTION = 1e-3
"""Where no lung is found, the attention is divided by this and not by its mean, which would be about 0."""


def build_model(
    config: ModelConfig,
    image_size: int,
    *,
    precision: str = "float32",
    seed: int = 0,
    batch_normalization: type[keras.layers.BatchNormalization] = keras.layers.BatchNormalization,
) -> keras.Model:
    """Builds the classifier with freshly initialized weights.

    Args:
        config: what the network is made of.
        image_size: side of the images, in pixels.
        precision: a Keras dtype policy: `float32`, `mixed_float16` or `mixed_bfloat16`. Weights, logit and
            sigmoid are float32 in each.
        seed: seed for the initial weights and for dropout.
        batch_normalization: class of the layers that normalize batches. With Keras's own, the saved model can
            be loaded without this project.

    Returns:
        A model from images (batch, image_size, image_size, 1), any numeric dtype, values 0 to 255, to
        probabilities of pneumonia, float32 (batch, 1). It has layers named FEATURES and LOGIT, and with lung
        attention LUNG_LOGITS and LUNGS.

    Raises:
        ValueError: if the images are too small for so many poolings.
    """
    if image_size < config.smallest_image_size:
        raise ValueError(
            f"{len(config.filters)} blocks need images of at least {config.smallest_image_size} "
            f"pixels a side. Received: image_size={image_size}"
        )
    layers = Layers(config, precision, seed, batch_normalization)
    images = keras.Input((image_size, image_size, 1), dtype="float32", name="image")
    x = keras.layers.Rescaling(1 / 255, dtype="float32", name="rescale")(images)
    if config.standardize:
        x = keras.layers.LayerNormalization(
            axis=(1, 2, 3), epsilon=1e-6, center=False, scale=False, dtype="float32", name="standardize"
        )(x)
    if config.attention == "lungs":
        features = _attend_to_lungs(convolutions(x, config, layers, last_name=CONVOLVED), layers)
    else:
        features = convolutions(x, config, layers, last_name=FEATURES)
    logit = _head(features, config, layers)
    probability = keras.layers.Activation("sigmoid", dtype="float32", name="probability")(logit)
    return keras.Model(images, probability, name=MODEL_NAME)


def has_lung_attention(model: keras.Model) -> bool:
    """Whether a classifier says where the lungs are."""
    names = {layer.name for layer in model.layers}
    return all(f"{prefix}{LUNGS}" in names for prefix in member_prefixes(model))


def lung_attention(model: keras.Model) -> Any:
    """The symbolic lung attention (batch, height, width, 1); of an averaged model, the mean of its members'.

    None if the model, or a member of it, has none.
    """
    if not has_lung_attention(model):
        return None
    attentions = [model.get_layer(f"{prefix}{LUNGS}").output for prefix in member_prefixes(model)]
    return keras.layers.Average()(attentions) if len(attentions) > 1 else attentions[0]


def member_prefixes(model: keras.Model) -> list[str]:
    """What the names of the layers begin with: of an averaged model for each member, else nothing."""
    prefixes = (member_prefix(number) for number in itertools.count())
    names = [layer.name for layer in model.layers]
    found = itertools.takewhile(lambda prefix: any(name.startswith(prefix) for name in names), prefixes)
    return list(found) or [""]


def member_prefix(number: int) -> str:
    """What the names of the layers of a member begin with in an averaged model; members count from 0."""
    return f"member{number + 1}_"


def block_outputs(model: keras.Model) -> list[Any]:
    """The symbolic outputs (batch, height, width, channels) of all blocks, before pooling and attention.

    Of an averaged model they are those of the first member.
    """
    prefix = member_prefixes(model)[0]
    names = {layer.name for layer in model.layers}
    pools = itertools.takewhile(names.__contains__, (f"{prefix}pool{block}" for block in itertools.count(1)))
    last = next(name for name in (f"{prefix}{CONVOLVED}", f"{prefix}{FEATURES}") if name in names)
    return [*(model.get_layer(pool).input for pool in pools), model.get_layer(last).output]


def _attend_to_lungs(features: Any, layers: Layers) -> Any:
    """Multiplies the features by the lung attention, whose mean over the image is scaled to 1.

    The mean of the product over the image is therefore the mean of the features in the lungs.
    """
    logits = layers.lung_logits(features, LUNG_LOGITS)
    attention = keras.layers.Activation("sigmoid", dtype="float32", name=LUNGS)(logits)
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True, dtype="float32", name="mean_attention")(
        attention
    )
    weights = ops.divide(attention, ops.maximum(mean, SMALLEST_MEAN_ATTENTION))
    return keras.layers.Multiply(dtype=layers.policy, name=FEATURES)([features, weights])


def _head(features: Any, config: ModelConfig, layers: Layers) -> Any:
    """Global pooling, dropout and the dense layers, the last of which is LOGIT."""
    pooled = []
    if config.pooling != "max":
        pooled.append(
            keras.layers.GlobalAveragePooling2D(dtype=layers.policy, name="pooled_average")(features)
        )
    if config.pooling != "average":
        pooled.append(keras.layers.GlobalMaxPooling2D(dtype=layers.policy, name="pooled_max")(features))
    x = pooled[0]
    if len(pooled) > 1:
        x = keras.layers.Concatenate(dtype=layers.policy, name="pooled")(pooled)
    x = layers.drop(x, "dropout")
    for position, units in enumerate(config.dense_units):
        x = layers.densely(x, units, f"dense{position}")
    return layers.logit(x, LOGIT)


def predict_probabilities(model: keras.Model, images: Any, batch_size: int) -> NDArray[np.float32]:
    """The probabilities of pneumonia, float32 (n,), of images (n, side, side, 1), 0 to 255.

    `model.predict` gives the same, and takes 0.1 s longer to start. The last batch is filled up: TensorFlow
    would trace the model anew for another number of images.
    """
    images = np.asarray(images)
    batch_size = min(batch_size, len(images))
    batches = []
    for begin in range(0, len(images), batch_size):
        batch = images[begin : begin + batch_size]
        batches.append(model.predict_on_batch(np.resize(batch, (batch_size, *batch.shape[1:]))))
    return np.concatenate(batches)[: len(images), 0]
