"""Counts the floating-point operations of a model, and measures how many per second the device can do."""

import math

import keras
import numpy as np
from keras import ops

from pipeline.benchmark.timing import Meter, meter

TRAINING_PER_FORWARD = 3
"""Operations of a training step per operation of the forward pass. The backward pass takes about twice as
many: one product for the gradient of the inputs and one for that of the weights (Kaplan et al.,
arXiv:2001.08361, section 2.1)."""
MATRIX_SIDES = {"cpu": 2048, "gpu": 8192}
PRODUCTS_PER_CALL = {"cpu": 1, "gpu": 10}


def forward_flops(model: keras.Model) -> int:
    """Operations of all convolutions and dense layers for one image; multiply and add are two operations."""
    return sum(_layer_flops(layer) for layer in _layers(model))


def training_flops(model: keras.Model) -> int:
    """Operations of a training step for one image."""
    return TRAINING_PER_FORWARD * forward_flops(model)


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    found = []
    for layer in model.layers:
        found += _layers(layer) if isinstance(layer, keras.Model) else [layer]
    return found


def _layer_flops(layer: keras.layers.Layer) -> int:
    if not isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
        return 0
    outputs = math.prod(layer.output.shape[1:-1])
    return 2 * outputs * math.prod(layer.kernel.shape)


def peak(precision: str) -> Meter:
    """A meter of the operations per second of a large matrix product on the training device.

    Args:
        precision: the Keras dtype policy that is measured.
    """
    device = "cpu" if all("cpu" in name.lower() for name in keras.distribution.list_devices()) else "gpu"
    side, products = MATRIX_SIDES[device], PRODUCTS_PER_CALL[device]
    dtype = precision.removeprefix("mixed_")
    factor = ops.cast(np.random.default_rng(0).normal(0, side**-0.5, (side, side)), dtype)

    def multiply() -> int:
        product = factor
        for _ in range(products):
            product = ops.matmul(product, factor)
        ops.convert_to_numpy(ops.cast(product[0, 0], "float32"))  # waits for the device
        return 2 * side**3 * products

    return meter(multiply)
