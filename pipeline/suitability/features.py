"""The features of an image by which it is compared with the training images."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from pipeline.model import block_outputs, lung_attention, member_prefixes
from pipeline.network.names import LUNGS


class Network:
    """A classifier that computes the features beside one of its outputs, in one pass, on any Keras backend.

    The features are the mean and the standard deviation of every channel after every block, so that coarse
    and fine patterns of all depths count, and the lung attention of every place if the model has one. The
    features of an averaged model are those of its first member.

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

    def __call__(self, images: Any) -> tuple[Any, Any, Any]:
        """Computes a batch.

        Args:
            images: (batch, side, side, 1), any numeric dtype, 0 to 255.

        Returns:
            The output, the features float32 (batch, features), and the lung attention float32 (batch, height,
            width, 1), 0 to 1, or None if the model has none.
        """
        output, *others = self._network(images, training=False)
        blocks, lungs = others[: self._blocks], others[self._blocks :]
        of_first, attention = lungs or (None, None)
        return output, _features(blocks, of_first), attention


def _features(blocks: Sequence[Any], lungs: Any) -> Any:
    parts = []
    for block in blocks:
        channels = ops.cast(block, "float32")
        parts += [ops.mean(channels, axis=(1, 2)), ops.std(channels, axis=(1, 2))]
    if lungs is not None:
        parts.append(ops.reshape(lungs, (-1, lungs.shape[1] * lungs.shape[2])))
    return ops.concatenate(parts, axis=1)
