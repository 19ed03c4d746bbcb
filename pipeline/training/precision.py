"""Finds the floating-point precision that trains fastest on this device, by timing training steps."""

import logging
import time
from collections.abc import Callable
from typing import get_args

import keras
import numpy as np

from pipeline.training import distribution
from pipeline.training.settings import Precision

WORTHWHILE_SPEEDUP = 1.1
"""A mixed precision is chosen only if a training step takes float32 at least this many times as long."""
TIMED_STEPS = 5

logger = logging.getLogger(__name__)


def fastest(build: Callable[[Precision], keras.Model], batch_shape: tuple[int, ...]) -> Precision:
    """Times a few training steps in every precision that this device supports.

    Args:
        build: returns a new model that computes in the given precision.
        batch_shape: (batch, height, width, channels) of the images of one training step.

    Returns:
        The precision of the shortest training step, or float32 if no other is worth its coarser numbers.
    """
    seconds = {precision: _step_seconds(build(precision), batch_shape) for precision in supported()}
    shortest = min(seconds, key=lambda precision: seconds[precision])
    worthwhile = seconds["float32"] / seconds[shortest] >= WORTHWHILE_SPEEDUP
    chosen: Precision = shortest if worthwhile else "float32"
    timings = ", ".join(f"{precision} {1000 * value:.0f} ms" for precision, value in seconds.items())
    logger.info("precision: %s (a training step takes %s)", chosen, timings)
    return chosen


def supported() -> tuple[Precision, ...]:
    """The precisions that the training device has fast kernels for: on CPUs there are none for float16."""
    names: tuple[Precision, ...] = get_args(Precision)
    return tuple(name for name in names if name != "mixed_float16" or not distribution.only_cpus())


def _step_seconds(model: keras.Model, batch_shape: tuple[int, ...]) -> float:
    """Seconds of the shortest of a few training steps. Other work of the machine only lengthens a step."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, batch_shape, dtype=np.uint8)
    labels = generator.integers(0, 2, batch_shape[0]).astype(np.float32)
    model.compile("adam", "binary_crossentropy", jit_compile=False)
    inputs = [images] if len(model.inputs) == 1 else [images, np.ones(batch_shape, np.int8)]
    model.train_on_batch(inputs, labels)  # the first step builds and traces the model
    durations = []
    for _ in range(TIMED_STEPS):
        start = time.perf_counter()
        model.train_on_batch(inputs, labels)
        durations.append(time.perf_counter() - start)
    return min(durations)
