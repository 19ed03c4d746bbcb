"""What a search must not exceed: the time it takes, and the size and latency of its networks."""

import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import tensorflow as tf

from pipeline.training.recipe import build_inference_model
from pipeline.training.settings import TrainConfig
from tfrecords_builder import continuing, storage

TIMED_CALLS = 20
"""The latency is the median of so many calls."""
_SPENT = "time.json"
_THREADS = Path("/proc/self/task")


class RefusedTrialError(keras_tuner.errors.FailedTrialError):
    """A network that exceeds a limit is not trained."""


class OutOfTimeError(Exception):
    """The time of the search is spent. The trial under way continues if the search gets more time."""


def check_size(config: TrainConfig, image_size: int, max_params: int | None) -> None:
    """Refuses a network that cannot be built for the images, or has too many weights.

    Args:
        config: the settings of its training.
        image_size: side of the images, in pixels.
        max_params: the largest number of weights; None for no limit.

    Raises:
        RefusedTrialError: if it is refused.
    """
    smallest = config.model.smallest_image_size
    if image_size < smallest and config.model_builder is None:
        raise RefusedTrialError(
            f"the network needs images of at least {smallest} pixels a side, but they have {image_size}"
        )
    if max_params is not None:
        params = build_inference_model(config, image_size).count_params()
        if params > max_params:
            raise RefusedTrialError(f"{params:,} weights, more than --max-params {max_params:,}")


def check_latency(model: keras.Model, max_latency_ms: float | None) -> float:
    """Measures the latency of a network and refuses one that is too slow.

    Args:
        model: computes in float32.
        max_latency_ms: the longest latency in milliseconds; None for no limit.

    Returns:
        The latency, in milliseconds.

    Raises:
        RefusedTrialError: if it is refused.
    """
    latency = measure_latency_ms(model)
    if max_latency_ms is not None and latency > max_latency_ms:
        raise RefusedTrialError(f"{latency:.2f} ms an image, more than --max-latency-ms {max_latency_ms:g}")
    return latency


def measure_latency_ms(model: keras.Model) -> float:
    """Milliseconds in which one core of the CPU computes the probability of one image.

    It is that of the network in the exported signature; decoding and preprocessing come to it.
    """
    images = np.zeros((1, *model.input_shape[1:]), np.float32)
    compute = model.predict_on_batch
    if keras.backend.backend() == "tensorflow":
        compute = tf.function(lambda batch: model(batch, training=False), jit_compile=False)
    with tf.device("CPU:0"), _one_core():
        compute(images)
        durations = []
        for _ in range(TIMED_CALLS):
            start = time.perf_counter()
            np.asarray(compute(images))
            durations.append(time.perf_counter() - start)
    return 1000 * statistics.median(durations)


@contextmanager
def _one_core() -> Iterator[None]:
    """Lets all threads of this process run on a single core. TensorFlow cannot change its threads later."""
    if not _THREADS.exists():  # not Linux
        yield
        return
    before = os.sched_getaffinity(0)
    try:
        _pin({min(before)})
        yield
    finally:
        _pin(before)  # also the threads that were started in the block, which stay where their starter was


def _pin(cores: set[int]) -> None:
    for thread in _THREADS.glob("*"):
        try:
            os.sched_setaffinity(int(thread.name), cores)
        except ProcessLookupError:  # the thread has ended
            continue


class Clock:
    """Counts the time of a search, over all its continuations.

    Args:
        folder: folder of the search; a path or a URL.
        max_minutes: the longest time of the search; None for no limit.
    """

    def __init__(self, folder: str, max_minutes: float | None) -> None:
        self._path = storage.join(folder, _SPENT)
        self._max_seconds = None if max_minutes is None else 60 * max_minutes
        before = continuing.read_json(self._path)["seconds"] if storage.exists(self._path) else 0.0
        self._began = time.monotonic() - before
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """Seconds that the search took so far."""
        return time.monotonic() - self._began

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end; None without a limit."""
        return None if self._max_seconds is None else max(0.0, self._max_seconds - self.seconds)

    def check(self) -> None:
        """Stores the time, and ends the search if it is spent.

        Raises:
            OutOfTimeError: if it is.
        """
        with self._lock:
            storage.write(self._path, f'{{"seconds": {self.seconds:.1f}}}\n')
        if self.seconds_left == 0:
            raise OutOfTimeError
