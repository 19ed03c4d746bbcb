"""AdamW with TensorFlow's fused kernel, which Keras 3 does not use."""

from typing import Any

import keras


class FusedAdamW(keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` with the same variables and results, in fewer operations.

    Keras updates each variable with about 20 short operations, and starting them takes longer than computing
    them. On TensorFlow the fused kernel does it in one. Other backends compile the whole step; there this is
    Keras's optimizer.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable, as Keras's optimizer does."""
        if keras.backend.backend() != "tensorflow" or self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        step = tf.cast(self.iterations + 1, variable.dtype)
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )
