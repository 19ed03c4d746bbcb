"""Batch normalization with TensorFlow's fused kernel, which Keras 3 does not use.

Keras computes the moments and the normalization in separate operations. Each of them reads and writes the
whole batch, which on CPUs takes about half of the default model's training step.
"""

from typing import Any

import keras


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over channels, with the same weights and results, for training.

    It uses the fused kernel on TensorFlow, in training, on batches (batch, height, width, channels). In all
    other cases it is Keras's layer. It is not meant to be saved: copy its weights to a model that has Keras's
    layer in its place.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalizes a batch, as Keras's layer does."""
        if not (training and self.trainable) or keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        unused = tf.constant([], tf.float32)  # in training the kernel computes the moments of the batch
        fused = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=unused,
            variance=unused,
            epsilon=self.epsilon,
            is_training=True,
        )
        count = tf.cast(tf.size(inputs) / tf.shape(inputs)[-1], tf.float32)
        biased_variance = fused.batch_variance * (count - 1) / count  # which is the one that Keras averages
        self._update_average(self.moving_mean, fused.batch_mean)
        self._update_average(self.moving_variance, biased_variance)
        return fused.y

    def _update_average(self, average: keras.Variable, value: Any) -> None:
        average.assign(average * self.momentum + value * (1.0 - self.momentum))
