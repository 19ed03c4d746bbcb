"""The features of an image by which it is compared with the training images."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from pipeline.model import LUNGS, block_outputs, has_lung_attention


class Network:
    """A classifier that computes the features beside one of its outputs, in one pass.

    The features are the mean and the standard deviation of every channel after every block, so that coarse
    and fine patterns of all depths count, and the lung attention of every place if the model has one.

    Args:
        model: a classifier that `pipeline.model.build_model` made.
        output: the symbolic output of one of its layers.
    """

    def __init__(self, model: keras.Model, output: keras.KerasTensor) -> None:
        lungs = [model.get_layer(LUNGS).output] if has_lung_attention(model) else []
        self._blocks = len(block_outputs(model))
        self._network = keras.Model(model.inputs[0], [output, *block_outputs(model), *lungs])

    def __call__(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
        """Computes a batch.

        Args:
            images: (batch, side, side, 1), any numeric dtype, 0 to 255.

        Returns:
            The output, the features float32 (batch, features), and the lung attention float32 (batch, height,
            width, 1), 0 to 1, or None if the model has none.
        """
        output, *others = self._network(images, training=False)
        blocks, lungs = others[: self._blocks], others[self._blocks :]
        attention = lungs[0] if lungs else None
        return output, _features(blocks, attention), attention


def _features(blocks: Sequence[tf.Tensor], lungs: tf.Tensor | None) -> tf.Tensor:
    parts = []
    for block in blocks:
        mean, variance = tf.nn.moments(tf.cast(block, tf.float32), axes=(1, 2))
        parts += [mean, tf.sqrt(variance)]
    if lungs is not None:
        parts.append(tf.reshape(lungs, (tf.shape(lungs)[0], lungs.shape[1] * lungs.shape[2])))
    return tf.concat(parts, axis=1)
