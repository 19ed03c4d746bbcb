"""Floating-point operations of a model, counted from its layers, and how many the device does at its peak."""

import math

import keras
import numpy as np
from keras import ops

from pipeline.benchmark.timing import Meter, meter

TRAINING_PER_FORWARD = 3
"""The backward pass takes about twice the operations of the forward pass: one product for the gradient of the
inputs and one for that of the weights (Kaplan et al., arXiv:2001.08361, section 2.1)."""
MATRIX_SIDES = {"cpu": 2048, "gpu": 8192}
PRODUCTS_A_CALL = {"cpu": 1, "gpu": 10}


def forward_flops(model: keras.Model) -> int:
    """Operations of the convolutions and dense layers for one image; a product and its sum are 2."""
    return sum(_layer_flops(layer) for layer in _layers(model))


def training_flops(model: keras.Model) -> int:
    """Operations of one training step, for one image."""
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
    """Of the operations a second of a large matrix product in the given precision, on the training device."""
    device = "cpu" if all("cpu" in name.lower() for name in keras.distribution.list_devices()) else "gpu"
    side, products = MATRIX_SIDES[device], PRODUCTS_A_CALL[device]
    dtype = precision.removeprefix("mixed_")
    factor = ops.cast(np.random.default_rng(0).normal(0, side**-0.5, (side, side)), dtype)

    def multiply() -> int:
        product = factor
        for _ in range(products):
            product = ops.matmul(product, factor)
        ops.convert_to_numpy(ops.cast(product[0, 0], "float32"))  # waits for the device
        return 2 * side**3 * products

    return meter(multiply)
