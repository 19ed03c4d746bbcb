"""The loss by which lung attention learns where the lungs are."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("chest_xray_pipeline")
class LungSupervision(keras.layers.Layer):
    """Keras layer that adds the loss of the lung attention in training, and returns the probabilities.

    The loss is the mean cross-entropy between the attention of each place and the share of lung in the part
    of the image that it covers. It is not added in validation, so that the validation loss is that of the
    classification alone.

    Args:
        weight: weight of this loss beside that of the classification.
    """

    def __init__(self, weight: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.weight = weight

    def call(self, probabilities: Any, lung_logits: Any, lungs: Any, training: bool = False) -> Any:
        """Adds the loss.

        Args:
            probabilities: (batch, 1), which are returned.
            lung_logits: float32 (batch, height, width, 1).
            lungs: (batch, side, side, 1): 1 in a lung, -1 outside, 0 where nobody knows.
            training: whether the model is training.
        """
        if training:
            self.add_loss(self.weight * lung_loss(lung_logits, lungs))
        return probabilities

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer."""
        return super().get_config() | {"weight": self.weight}


def lung_loss(lung_logits: Any, lungs: Any) -> Any:
    """Mean cross-entropy of the attention over all places where it is known whether they are lung.

    Args:
        lung_logits: float32 (batch, height, width, 1).
        lungs: (batch, side, side, 1): 1 in a lung, -1 outside, 0 where nobody knows.

    Returns:
        float32 (), 0 if nothing is known.
    """
    rows, columns = lung_logits.shape[1:3]
    cell = lungs.shape[1] // rows
    lungs = ops.cast(lungs, "float32")[:, : rows * cell, : columns * cell]  # poolings leave out what remains

    def mean_of_places(pixels: Any) -> Any:
        return ops.mean(ops.reshape(pixels, (-1, rows, cell, columns, cell, 1)), axis=(2, 4))

    known = mean_of_places(ops.abs(lungs))
    share = (mean_of_places(lungs) / ops.maximum(known, 1e-6) + 1) / 2
    losses = ops.maximum(lung_logits, 0.0) - lung_logits * share + ops.log1p(ops.exp(-ops.abs(lung_logits)))
    return ops.sum(known * losses) / ops.maximum(ops.sum(known), 1.0)
