"""The optimizer of a training and its learning-rate schedule."""

from typing import Any

import keras

from pipeline.training.settings import TrainConfig

AVERAGED_FRACTION = 0.1
"""The moving average of the weights covers at most about this fraction of all training steps."""


class FusedAdamW(keras.optimizers.AdamW):
    """AdamW with TensorFlow's fused kernel, which Keras 3 does not use.

    It is `keras.optimizers.AdamW` with the same variables and results, in fewer operations.

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


def make_optimizer(config: TrainConfig, total_steps: int) -> keras.optimizers.Optimizer:
    """AdamW (Loshchilov and Hutter, arXiv:1711.05101) that averages the weights.

    Its learning rate rises linearly in the warm-up and then falls along a cosine (arXiv:1608.03983).
    """
    warmup_steps = max(1, round(total_steps * config.warmup))
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, total_steps - warmup_steps),
        warmup_target=config.learning_rate,
        warmup_steps=warmup_steps,
    )
    optimizer = FusedAdamW(
        rate,
        weight_decay=config.weight_decay,
        use_ema=True,
        ema_momentum=min(config.ema, max(0.0, 1 - 1 / (AVERAGED_FRACTION * total_steps))),
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
