"""The features of an image by which it is compared with the training images."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from pipeline.model import block_outputs, lung_attention, member_prefixes
from pipeline.network.names import LUNGS
from pipeline.suitability.gradients import gradient_histograms


class Features(NamedTuple):
    """The two descriptions of each image of a batch. A `tf.function` may return them."""

    of_network: Any
    """What the classifier sees, float32 (batch, features): the mean and the standard deviation of every
    channel after every block, so that coarse and fine patterns of all depths count, and the lung attention of
    every place if the model has one. Those of an averaged model are of its first member."""
    of_gradients: Any
    """What shapes the image has where, float32 (batch, features), as of `gradient_histograms`."""


class Network:
    """A classifier that computes the features beside one of its outputs, in one pass, on any Keras backend.

    Args:
        model: a classifier that `pipeline.model.build_model` made.
        output: the symbolic output of one of its layers.
    """

    def __init__(self, model: keras.Model, output: keras.KerasTensor) -> None:
        attention = lung_attention(model)
        self._blocks = len(block_outputs(model))
        lungs = []
        if attention is not None:
            lungs = [model.get_layer(f"{member_prefixes(model)[0]}{LUNGS}").output, attention]
        self._network = keras.Model(model.inputs[0], [output, *block_outputs(model), *lungs])

    def __call__(self, images: Any) -> tuple[Any, Features, Any]:
        """Computes a batch.

        Args:
            images: (batch, side, side, 1), any numeric dtype, 0 to 255.

        Returns:
            The output, the features, and the lung attention float32 (batch, height, width, 1), 0 to 1, or
            None if the model has none.
        """
        output, *others = self._network(images, training=False)
        blocks, lungs = others[: self._blocks], others[self._blocks :]
        of_first, attention = lungs or (None, None)
        features = Features(_of_network(blocks, of_first), gradient_histograms(images))
        return output, features, attention


def _of_network(blocks: Sequence[Any], lungs: Any) -> Any:
    parts = []
    for block in blocks:
        channels = ops.cast(block, "float32")
        parts += [ops.mean(channels, axis=(1, 2)), ops.std(channels, axis=(1, 2))]
    if lungs is not None:
        parts.append(ops.reshape(lungs, (-1, lungs.shape[1] * lungs.shape[2])))
    return ops.concatenate(parts, axis=1)
