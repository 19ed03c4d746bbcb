"""The blocks of convolutions, what makes the image smaller between them, and what weighs their channels."""

from typing import Any

import keras
from keras import ops

from pipeline.network.layers import Layers
from pipeline.training.settings import ModelConfig

SQUEEZED_FRACTION = 8
"""Squeeze-and-excitation computes the weights of channels from this many times fewer channels."""
FEWEST_SQUEEZED = 4
SPATIAL_KERNEL_SIZE = 7
"""Side of the convolution that computes the weights of places in CBAM, in pixels."""


def convolutions(x: Any, config: ModelConfig, layers: Layers, *, last_name: str) -> Any:
    """All blocks, one behind the other.

    Args:
        x: (batch, height, width, 1).
        config: what the network is made of.
        layers: makes the layers.
        last_name: name of the last activation.

    Returns:
        (batch, height, width, channels). The layer `pool1` and so on gets the output of each block before it
        is made smaller.
    """
    for block in range(len(config.filters)):
        stride: int = config.stem_stride if block == 0 else 1
        if block:
            x, stride = _downsample(x, config, layers, f"pool{block}", f"blur{block}")
        elif stride > 1:
            x = _crop_to_even(x, "even")
        is_last = block == len(config.filters) - 1
        x = _block(x, config, layers, block, stride, last_name=last_name if is_last else None)
    return x


def _downsample(x: Any, config: ModelConfig, layers: Layers, name: str, blur_name: str) -> tuple[Any, int]:
    """Halves height and width, rounded down, or leaves that to the stride of the next convolution.

    Returns:
        The result and the stride of the next convolution.
    """
    if config.downsampling == "max":
        return keras.layers.MaxPooling2D(dtype=layers.policy, name=name)(x), 1
    if config.downsampling == "strided":
        return _crop_to_even(x, name), 2
    # Zhang, "Making Convolutional Networks Shift-Invariant Again", ICML 2019. Two averages of 2x2 pixels, one
    # after the other, are the binomial kernel of 3x3.
    x = keras.layers.MaxPooling2D(2, strides=1, padding="same", dtype=layers.policy, name=name)(x)
    average = keras.layers.AveragePooling2D
    x = average(2, strides=1, padding="same", dtype=layers.policy, name=f"{blur_name}_0")(x)
    return average(2, strides=2, dtype=layers.policy, name=f"{blur_name}_1")(x), 1


def _crop_to_even(x: Any, name: str) -> Any:
    """Leaves out the last row and column if their number is odd, as max-pooling does."""
    rows, columns = x.shape[1:3]
    return keras.layers.Cropping2D(((0, rows % 2), (0, columns % 2)), name=name)(x)


def _block(
    x: Any, config: ModelConfig, layers: Layers, block: int, stride: int, *, last_name: str | None
) -> Any:
    """Convolutions, each with its normalization and activation.

    A residual block (He et al., arXiv:1512.03385) adds its input before its last activation.
    """
    channels, shortcut = config.filters[block], x
    for position in range(config.convolutions):
        place = f"{block}_{position}"
        is_separable = config.block == "separable" and (block, position) != (0, 0)
        convolve = layers.convolve_separably if is_separable else layers.convolve
        x = convolve(x, channels, f"conv{place}", stride=stride if position == 0 else 1)
        x = layers.normalize(x, f"norm{place}")
        name = f"relu{place}"
        if position == config.convolutions - 1:
            x = _weigh(x, config, layers, block)
            if config.block == "residual":
                x = _add(x, shortcut, layers, block, stride)
            name = last_name or name
        x = layers.activate(x, name)
    return x


def _add(x: Any, shortcut: Any, layers: Layers, block: int, stride: int) -> Any:
    """Adds the input of a block, averaged and through a 1x1 convolution if it has another shape.

    The average is that of ResNet-D (He et al., "Bag of Tricks for Image Classification", CVPR 2019).
    """
    if stride > 1:
        # No convolution of 1x1 with a stride: in it, oneDNN 3.7.3 (CPUs) writes past its memory.
        average = keras.layers.AveragePooling2D
        shortcut = average(stride, dtype=layers.policy, name=f"shortcut_average{block}")(shortcut)
    if shortcut.shape[-1] != x.shape[-1]:
        shortcut = layers.convolve(shortcut, x.shape[-1], f"shortcut{block}", size=1)
        shortcut = layers.normalize(shortcut, f"norm_shortcut{block}")
    return keras.layers.Add(dtype=layers.policy, name=f"add{block}")([x, shortcut])


def _weigh(x: Any, config: ModelConfig, layers: Layers, block: int) -> Any:
    """Multiplies the channels, and in CBAM the places, by weights that are computed from all of them."""
    if config.channel_weights == "none":
        return x
    squeezed = max(FEWEST_SQUEEZED, x.shape[-1] // SQUEEZED_FRACTION)
    multiply = keras.layers.Multiply
    average = keras.layers.GlobalAveragePooling2D(
        keepdims=True, dtype=layers.policy, name=f"channel_average{block}"
    )(x)
    summary = average
    if config.channel_weights == "cbam":
        largest = keras.layers.GlobalMaxPooling2D(
            keepdims=True, dtype=layers.policy, name=f"channel_max{block}"
        )(x)
        summary = keras.layers.Concatenate(dtype=layers.policy, name=f"channel_summary{block}")(
            [average, largest]
        )
    weights = layers.squeeze(summary, squeezed, f"squeeze{block}")
    weights = layers.excite(weights, x.shape[-1], f"excite{block}")
    x = multiply(dtype=layers.policy, name=f"weigh_channels{block}")([x, weights])
    if config.channel_weights == "se":
        return x
    summary = ops.concatenate(
        [ops.mean(x, axis=-1, keepdims=True), ops.max(x, axis=-1, keepdims=True)], axis=-1
    )
    weights = layers.excite(summary, 1, f"places{block}", size=SPATIAL_KERNEL_SIZE)
    return multiply(dtype=layers.policy, name=f"weigh_places{block}")([x, weights])
