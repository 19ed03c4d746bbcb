"""Which floating-point precision trains fastest on this device, found by trying."""

import logging
import time
from collections.abc import Callable
from typing import get_args

import keras
import numpy as np

from pipeline.training.settings import Precision, PrecisionChoice

WORTHWHILE_SPEEDUP = 1.1
"""A mixed precision must train this many times faster than float32 to be worth its coarser numbers."""
TRIAL_STEPS = 5

logger = logging.getLogger(__name__)


def resolve(
    choice: PrecisionChoice, build: Callable[[Precision], keras.Model], input_shape: tuple[int, ...]
) -> Precision:
    """Turns `auto` into the precision whose training step is measured to be the fastest.

    Args:
        choice: `auto`, or a precision, which is returned as it is.
        build: makes the model to be trained in a given precision.
        input_shape: (batch, height, width, channels) of a training batch.
    """
    if choice != "auto":
        return choice
    seconds = {precision: _step_seconds(build(precision), input_shape) for precision in _candidates()}
    fastest = min(seconds, key=lambda precision: seconds[precision])
    worth_it = seconds["float32"] / seconds[fastest] >= WORTHWHILE_SPEEDUP
    chosen: Precision = fastest if worth_it else "float32"
    timings = ", ".join(f"{precision} {1000 * value:.0f} ms" for precision, value in seconds.items())
    logger.info("precision: %s (a training step takes %s)", chosen, timings)
    return chosen


def _candidates() -> tuple[Precision, ...]:
    """No CPU trains in float16: TensorFlow and JAX have no kernels for it there and crawl."""
    on_cpu = all("cpu" in device.lower() for device in keras.distribution.list_devices())
    return tuple(name for name in get_args(Precision) if not (on_cpu and name == "mixed_float16"))


def _step_seconds(model: keras.Model, input_shape: tuple[int, ...]) -> float:
    """The fastest of a few training steps on random images: the machine's other work only adds time."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, input_shape, dtype=np.uint8)
    labels = generator.integers(0, 2, input_shape[0]).astype(np.float32)
    model.compile("adam", "binary_crossentropy", jit_compile=False)
    model.train_on_batch(images, labels)  # builds and traces
    durations = []
    for _ in range(TRIAL_STEPS):
        start = time.perf_counter()
        model.train_on_batch(images, labels)
        durations.append(time.perf_counter() - start)
    return min(durations)
