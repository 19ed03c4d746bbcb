"""Batch normalisation in TensorFlow's one fused kernel, which Keras 3 does without.

Keras computes moments and the normalisation as separate operations, each of which reads and writes the whole
batch: on CPUs that is about half of the default model's training step.
"""

from typing import Any

import keras


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over channels, with the same weights and results, for training.

    On TensorFlow, batches (batch, height, width, channels) are normalised by the fused kernel while training;
    elsewhere, and otherwise, as Keras does. To be trained with, not to be saved: give the weights to a twin.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """See Keras."""
        if not (training and self.trainable) or keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        nothing = tf.constant([], tf.float32)  # the kernel takes the batch's own moments
        fused = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=nothing,
            variance=nothing,
            epsilon=self.epsilon,
            is_training=True,
        )
        count = tf.cast(tf.size(inputs) / tf.shape(inputs)[-1], tf.float32)
        biased_variance = fused.batch_variance * (count - 1) / count  # Keras averages this one
        self._move(self.moving_mean, fused.batch_mean)
        self._move(self.moving_variance, biased_variance)
        return fused.y

    def _move(self, average: keras.Variable, towards: Any) -> None:
        average.assign(average * self.momentum + towards * (1.0 - self.momentum))
