"""Networks and losses of a user's own: functions that an option names as `package.module:function`.

A function that builds a network is called as `build(image_size, precision=..., seed=...)`: with the side of
the images in pixels, the Keras dtype policy of the training, and a seed for the initial weights. It returns a
Keras model from images (batch, image_size, image_size, 1), values 0 to 255, to probabilities of pneumonia
(batch, 1). Its layer FEATURES is explained by Grad-CAM, and its layer LOGIT becomes the probability by a
sigmoid. Custom layers are registered with `keras.saving.register_keras_serializable`, so that the model can
be loaded; the module is imported for that.
"""

import importlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from pipeline.network.names import FEATURES, LOGIT, MODEL_NAME
from tfrecords_builder.errors import UserError, first_line

_DIMENSIONS = 4  # of a batch of feature maps


def load_function(reference: str) -> Callable[..., Any]:
    """Imports a function.

    Args:
        reference: `package.module:function`.

    Raises:
        UserError: if there is no such module or function.
    """
    module_name, _, name = reference.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"{reference!r} cannot be imported ({first_line(error)}): give package.module:function, with the "
            "package in the current folder or installed"
        ) from None
    if not callable(function):
        raise UserError(f"{reference!r} is no function, but a {type(function).__name__}")
    return function


def build(reference: str, image_size: int, precision: str, seed: int) -> keras.Model:
    """Builds a network with a user's function and checks what the pipeline needs of it.

    Args:
        reference: `package.module:function`.
        image_size: side of the images, in pixels.
        precision: a Keras dtype policy.
        seed: seed for the initial weights.

    Raises:
        UserError: if the function is not there or fails, or if the network lacks something.
    """
    function = load_function(reference)
    try:
        model = function(image_size, precision=precision, seed=seed)
    except Exception as error:
        raise UserError(f"{reference!r} failed: {type(error).__name__}: {first_line(error)}") from error
    lacking = _what_it_lacks(model, image_size)
    if lacking:
        raise UserError(f"the network of {reference!r} cannot be used: {lacking}")
    model.name = MODEL_NAME
    return model


def _what_it_lacks(model: Any, image_size: int) -> str | None:
    """What the pipeline needs and the network has not; None if nothing is lacking."""
    if not isinstance(model, keras.Model):
        return f"expected a keras.Model, received {type(model).__name__}"
    shapes = (model.input_shape, model.output_shape)
    if shapes != ((None, image_size, image_size, 1), (None, 1)):
        return (
            f"expected input (None, {image_size}, {image_size}, 1) and output (None, 1), "
            f"received {shapes[0]} and {shapes[1]}"
        )
    names = [layer.name for layer in model.layers]
    for name, what in (
        (FEATURES, "the feature maps that are explained"),
        (LOGIT, "the value before the sigmoid"),
    ):
        if name not in names:
            return f"it has no layer named {name!r} ({what}); its layers are {', '.join(names)}"
    if len(model.get_layer(FEATURES).output.shape) != _DIMENSIONS:
        return (
            f"the layer {FEATURES!r} must give (batch, height, width, channels), "
            f"not {model.get_layer(FEATURES).output.shape}"
        )
    return _what_its_output_lacks(model, image_size)


def _what_its_output_lacks(model: keras.Model, image_size: int) -> str | None:
    images = np.random.default_rng(0).uniform(0, 255, (2, image_size, image_size, 1)).astype(np.float32)
    images[1] = 0  # as the logit of the other may be so large that most functions of it are 1
    both = keras.Model(model.inputs, [model.get_layer(LOGIT).output, model.outputs[0]])
    logit, probability = (keras.ops.convert_to_numpy(value) for value in both(images, training=False))
    expected = 1 / (1 + np.exp(-np.float64(logit)))
    if np.shape(logit) != np.shape(probability) or not np.allclose(expected, probability, atol=1e-2):
        return f"its output must be the sigmoid of the layer {LOGIT!r}"
    return None
