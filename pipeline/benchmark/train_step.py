"""Measures the training step: how many images per second a model trains on, without waiting for its input.

Model, optimizer, loss and metrics are those of `pipeline.training.recipe`; the loop is Keras's `fit`.
"""

import dataclasses
import itertools
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.benchmark import flops
from pipeline.benchmark.result import Result, skipped
from pipeline.benchmark.timing import Meter, Timer
from pipeline.training import distribution
from pipeline.training.precision import supported
from pipeline.training.recipe import TrainingModel, add_augmentation, build_classifier, compile_model
from pipeline.training.settings import ModelConfig, Precision, TrainConfig

GROUP = "training step alone"
MODELS = {
    "small": ModelConfig(),  # the default model
    "large": ModelConfig(filters=(32, 64, 128, 256)),
}
BURN_IN_STEPS = 3
"""Steps of each measurement that are not timed. The input fills its buffers in them."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One combination of settings whose training step is measured."""

    model: str
    """A name in MODELS."""
    batch_size: int
    """Images of one training step."""
    precision: Precision
    """The precision of the computation."""
    xla: bool
    """Whether XLA compiles the step."""
    augmented: bool
    """Whether augmentation is part of the step."""

    def __str__(self) -> str:
        augmentation = "augmented" if self.augmented else "not augmented"
        xla = ", XLA" if self.xla else ""
        return f"{self.model}, batch {self.batch_size}, {self.precision}{xla}, {augmentation}"


class _Clock(keras.callbacks.Callback):
    """Keras callback that times the steps of one `fit` after the first BURN_IN_STEPS."""

    # At the end of a batch Keras would wait for the metrics of the step.
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        if batch == BURN_IN_STEPS:
            self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        float((logs or {})["loss"])  # waits for the device
        self.seconds = time.perf_counter() - self.started


class Training:
    """A model that is trained for timing.

    Args:
        case: the settings of the training.
        side: side of the images, in pixels.
        metrics: whether a step computes the metrics of the recipe, or none. With augmentation it always does.
    """

    def __init__(self, case: Case, side: int, *, metrics: bool = True) -> None:
        config = TrainConfig("", "", batch_size=case.batch_size, model=MODELS[case.model])
        self.batch_size = case.batch_size
        self.classifier = build_classifier(config, side, case.precision)
        if case.augmented:
            self.model = add_augmentation(config, self.classifier)
        elif metrics:
            self.model = TrainingModel(self.classifier.inputs, self.classifier.outputs)
        else:
            self.model = self.classifier
        compile_model(self.model, config, total_steps=1000, precision=case.precision)
        self.model.jit_compile = case.xla
        self._expected_seconds = 0.0

    def meter(self, batches: tf.data.Dataset) -> Meter:
        """A meter of the images per second that are trained on.

        Args:
            batches: a dataset of batches without end.
        """

        def rate(seconds: float) -> float:
            if not self._expected_seconds:
                self._seconds(batches, 1)  # compiles the model
                self._expected_seconds = self._seconds(batches, BURN_IN_STEPS) / BURN_IN_STEPS
            steps = max(1, round(seconds / self._expected_seconds))
            return steps * self.batch_size / self._seconds(batches, steps)

        return rate

    def _seconds(self, batches: tf.data.Dataset, steps: int) -> float:
        clock = _Clock()
        self.model.fit(
            batches, steps_per_epoch=BURN_IN_STEPS + steps, callbacks=[clock], shuffle=False, verbose=0
        )
        # `fit` ends with the averaged weights in the model. Without this copy JAX would take the arrays of
        # weights and averages for the same ones.
        self.model.set_weights(self.model.get_weights())
        return clock.seconds


def batch_in_memory(batch_size: int, side: int) -> tf.data.Dataset:
    """A dataset that repeats one batch of noise without end, which takes no time to make."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (batch_size, side, side, 1), dtype=np.uint8)
    labels = generator.integers(0, 2, batch_size).astype(np.float32)
    return tf.data.Dataset.from_tensors((images, labels)).repeat()


def measure(timer: Timer, batch_sizes: tuple[int, ...], side: int) -> list[Result]:
    """Measures every model in every precision, with and without XLA and augmentation.

    Args:
        timer: how often and how long each rate is measured.
        batch_sizes: images of one training step.
        side: side of the images, in pixels.
    """
    results = []
    for _, alike in itertools.groupby(
        cases(batch_sizes), lambda case: dataclasses.replace(case, xla=False, augmented=False)
    ):
        results += measure_cases(timer, list(alike), side)
    if "mixed_float16" not in supported():
        results.append(skipped(GROUP, "mixed_float16", "there are no kernels for CPUs: a step takes minutes"))
    return results


def measure_cases(timer: Timer, alike: Sequence[Case], side: int) -> list[Result]:
    """Measures cases that train one model in one precision, with the peak of the device beside them.

    Args:
        timer: how often and how long each rate is measured.
        alike: cases that differ only in `xla` and `augmented`.
        side: side of the images, in pixels.

    Returns:
        Results whose details hold the settings, the floating-point operations per image, the rate as a
        fraction of the device's peak, and the most device memory used so far.
    """
    trainings = [Training(case, side) for case in alike]
    inputs = [batch_in_memory(case.batch_size, side) for case in alike]
    meters = [training.meter(batches) for training, batches in zip(trainings, inputs, strict=True)]
    # The peak is measured in the same rounds, as other work on the machine then slows both alike.
    *rates, peak = timer.measure_all([*meters, flops.peak(alike[0].precision)])
    results = []
    for case, training, measured in zip(alike, trainings, rates, strict=True):
        operations = flops.training_flops(training.classifier)
        details = dataclasses.asdict(case) | {
            "flops_per_image": operations,
            "fraction_of_peak": measured.over(peak) * operations,
            "device_memory_bytes": device_memory_bytes(),
        }
        results.append(Result(GROUP, str(case), measured, details=details))
    return results


def cases(batch_sizes: tuple[int, ...]) -> list[Case]:
    """All cases that are measured.

    On TensorFlow, XLA and augmentation are not combined, as it has no XLA kernel for the resampling. On JAX
    the step is always compiled by XLA.
    """
    xla_and_augmented = [(False, False), (False, True), (True, False)]
    if keras.backend.backend() == "jax":
        xla_and_augmented = [(True, False), (True, True)]
    return [
        Case(model, batch_size, precision, xla, augmented)
        for model, batch_size, precision, (xla, augmented) in itertools.product(
            MODELS, batch_sizes, supported(), xla_and_augmented
        )
    ]


def device_memory_bytes() -> int | None:
    """The most memory of the first GPU that was in use so far; None without a GPU."""
    if distribution.only_cpus():
        return None
    if keras.backend.backend() == "jax":
        import jax

        return int(jax.devices()[0].memory_stats()["peak_bytes_in_use"])
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
