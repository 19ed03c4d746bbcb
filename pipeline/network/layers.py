"""Makes the layers of a network: each in the precision of the network, and with a seed of its own."""

import itertools
import math
from typing import Any

import keras

from pipeline.training.settings import ModelConfig

NORMALIZATION_MOMENTUM = 0.95
"""Momentum of the moving averages in batch normalization. With Keras's default, 0.99, they would still be far
from the true mean and variance after a training of few steps."""
MOST_GROUPS = 8
"""Group normalization has this many groups of channels, or fewer if the channels cannot be divided so."""


class Layers:
    """Applies layers to symbolic tensors (batch, height, width, channels).

    Args:
        config: what the network is made of.
        precision: a Keras dtype policy.
        seed: seed for the initial weights and for dropout.
        batch_normalization: class of the layers that normalize batches.
    """

    def __init__(
        self,
        config: ModelConfig,
        precision: str,
        seed: int,
        batch_normalization: type[keras.layers.BatchNormalization],
    ) -> None:
        self._config = config
        self._batch_normalization = batch_normalization
        self._seeds = itertools.count(seed * 1000)
        self.policy = keras.DTypePolicy(precision)

    def convolve(self, x: Any, channels: int, name: str, *, stride: int = 1, size: int | None = None) -> Any:
        """A convolution without activation. It has a bias only if no normalization follows."""
        return keras.layers.Conv2D(
            channels,
            kernel_size=size or self._config.kernel_size,
            strides=stride,
            padding="same",
            use_bias=self._config.normalization == "none",
            kernel_initializer=keras.initializers.HeNormal(next(self._seeds)),
            dtype=self.policy,
            name=name,
        )(x)

    def convolve_separably(self, x: Any, channels: int, name: str, *, stride: int = 1) -> Any:
        """A convolution of each channel, and one of 1x1 pixels across channels (arXiv:1610.02357)."""
        return keras.layers.SeparableConv2D(
            channels,
            kernel_size=self._config.kernel_size,
            strides=stride,
            padding="same",
            use_bias=self._config.normalization == "none",
            depthwise_initializer=keras.initializers.HeNormal(next(self._seeds)),
            pointwise_initializer=keras.initializers.HeNormal(next(self._seeds)),
            dtype=self.policy,
            name=name,
        )(x)

    def normalize(self, x: Any, name: str) -> Any:
        """The normalization of the network; none leaves `x` as it is."""
        if self._config.normalization == "batch":
            return self._batch_normalization(momentum=NORMALIZATION_MOMENTUM, dtype=self.policy, name=name)(x)
        if self._config.normalization == "group":
            groups = math.gcd(x.shape[-1], MOST_GROUPS)
            return keras.layers.GroupNormalization(groups, dtype=self.policy, name=name)(x)
        return x

    def activate(self, x: Any, name: str) -> Any:
        """The activation of the network."""
        return keras.layers.Activation(self._config.activation, dtype=self.policy, name=name)(x)

    def excite(self, x: Any, channels: int, name: str, *, size: int = 1) -> Any:
        """A convolution and a sigmoid: weights from 0 to 1."""
        return self._convolve_with(x, channels, "sigmoid", name, size)

    def squeeze(self, x: Any, channels: int, name: str) -> Any:
        """A 1x1 convolution to fewer channels and a ReLU."""
        return self._convolve_with(x, channels, "relu", name, 1)

    def _convolve_with(self, x: Any, channels: int, activation: str, name: str, size: int) -> Any:
        return keras.layers.Conv2D(
            channels,
            kernel_size=size,
            padding="same",
            activation=activation,
            kernel_initializer=keras.initializers.GlorotUniform(next(self._seeds)),
            dtype=self.policy,
            name=name,
        )(x)

    def lung_logits(self, x: Any, name: str) -> Any:
        """A 1x1 convolution to a single channel, float32."""
        return keras.layers.Conv2D(
            1,
            kernel_size=1,
            kernel_initializer=keras.initializers.GlorotUniform(next(self._seeds)),
            dtype="float32",
            name=name,
        )(x)

    def drop(self, x: Any, name: str) -> Any:
        """The dropout of the network."""
        return keras.layers.Dropout(
            self._config.dropout, seed=next(self._seeds), dtype=self.policy, name=name
        )(x)

    def densely(self, x: Any, units: int, name: str) -> Any:
        """A dense layer with ReLU."""
        return keras.layers.Dense(
            units,
            activation="relu",
            kernel_initializer=keras.initializers.HeNormal(next(self._seeds)),
            dtype=self.policy,
            name=name,
        )(x)

    def logit(self, x: Any, name: str) -> Any:
        """A dense layer with a single unit and no activation, float32."""
        return keras.layers.Dense(
            1,
            kernel_initializer=keras.initializers.GlorotUniform(next(self._seeds)),
            dtype="float32",
            name=name,
        )(x)
