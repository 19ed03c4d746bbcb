"""Calibration as a part of the network: a layer between logit and sigmoid."""

from typing import Any

import keras

from pipeline.network.names import CALIBRATED_LOGIT, LOGIT


def logit_of(model: keras.Model) -> Any:
    """The symbolic logit (batch, 1) of a classifier whose sigmoid is its probability, calibrated or not."""
    names = {layer.name for layer in model.layers}
    return model.get_layer(CALIBRATED_LOGIT if CALIBRATED_LOGIT in names else LOGIT).output


def with_calibration(model: keras.Model, slope: float, intercept: float) -> keras.Model:
    """A classifier whose logits are calibrated, with the layers and weights of another.

    Args:
        model: the other one. A calibration that it has is replaced.
        slope: factor of its logits.
        intercept: added to them.
    """
    rescaling = keras.layers.Rescaling(slope, intercept, dtype="float32", name=CALIBRATED_LOGIT)
    return _classifier(model, rescaling(model.get_layer(LOGIT).output))


def without_calibration(model: keras.Model) -> keras.Model:
    """A classifier that computes what another does without its calibration, with its layers and weights."""
    return _classifier(model, model.get_layer(LOGIT).output)


def _classifier(model: keras.Model, logit: Any) -> keras.Model:
    probability = keras.layers.Activation("sigmoid", dtype="float32", name="probability")(logit)
    return keras.Model(model.inputs, probability, name=model.name)
