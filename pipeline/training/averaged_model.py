"""One Keras model that averages the logits of several classifiers."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from pipeline.model import member_prefix
from pipeline.network.calibrated import logit_of
from pipeline.network.names import FEATURES, LOGIT, MODEL_NAME


def average_models(members: Sequence[keras.Model]) -> keras.Model:
    """Joins classifiers into one that averages their logits, calibrated if they are.

    The features of all members, one behind the other, are the layer FEATURES of the new model. So its
    Grad-CAM is the mean of theirs before it is scaled to a maximum of 1. `pipeline.model.lung_attention` is
    the mean of their lung attention.

    Args:
        members: classifiers that `pipeline.model.build_model` made, of the same image size.

    Returns:
        A model from images (batch, side, side, 1), 0 to 255, to probabilities of pneumonia, float32
        (batch, 1). The layers of each member are in it; their names begin with `member_prefix`.
    """
    images = keras.Input(members[0].input_shape[1:], dtype="float32", name="image")
    features = [
        _copy(keras.Model(member.inputs[0], member.get_layer(FEATURES).output), images, number)
        for number, member in enumerate(members)
    ]
    joined = keras.layers.Concatenate(dtype="float32", name=FEATURES)(features)
    ends = [sum(part.shape[-1] for part in features[: end + 1]) for end in range(len(members) - 1)]
    logits = [
        _copy(keras.Model(member.get_layer(FEATURES).output, logit_of(member)), part, number)
        for number, (member, part) in enumerate(zip(members, ops.split(joined, ends, axis=-1), strict=True))
    ]
    logit = keras.layers.Average(dtype="float32", name=LOGIT)(logits)
    probability = keras.layers.Activation("sigmoid", dtype="float32", name="probability")(logit)
    return keras.Model(images, probability, name=MODEL_NAME)


def _copy(part: keras.Model, inputs: Any, number: int) -> Any:
    """Applies a copy of a part of a member, with the same weights and its own names, to symbolic inputs."""
    prefix = member_prefix(number)
    outputs = {}

    def rename(operation: keras.Operation) -> keras.Operation:
        copy = operation.__class__.from_config(operation.get_config())
        copy.name = f"{prefix}{operation.name}"
        return copy

    def call(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        outputs[operation.name] = operation(*args, **kwargs)
        return outputs[operation.name]

    copied = keras.models.clone_model(part, input_tensors=inputs, clone_function=rename, call_function=call)
    copied.set_weights(part.get_weights())
    return outputs[f"{prefix}{part.output_names[0]}"]
