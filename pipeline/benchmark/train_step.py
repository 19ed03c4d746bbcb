"""How fast the training of `pipeline.train` runs on any input: its model, optimiser, metrics and loop."""

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
from pipeline.training.recipe import add_augmentation, build_classifier, compile_model
from pipeline.training.settings import ModelConfig, Precision, TrainConfig

GROUP = "training step alone"
MODELS = {
    "small": ModelConfig(),  # the default one
    "large": ModelConfig(filters=(32, 64, 128, 256)),
}
BURN_IN_STEPS = 3


@dataclasses.dataclass(frozen=True)
class Case:
    """A way to train."""

    model: str
    """A name in MODELS."""
    batch_size: int
    precision: Precision
    xla: bool
    augmented: bool

    def __str__(self) -> str:
        augmentation = "augmented" if self.augmented else "not augmented"
        xla = ", XLA" if self.xla else ""
        return f"{self.model}, batch {self.batch_size}, {self.precision}{xla}, {augmentation}"


class _Clock(keras.callbacks.Callback):
    """Times the steps of one `fit` but the first ones, in which its input fills its buffers."""

    # At the beginning: at the end of a batch Keras would wait for its metrics.
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        if batch == BURN_IN_STEPS:
            self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        float((logs or {})["loss"])  # waits for the device
        self.seconds = time.perf_counter() - self.began


class Training:
    """A model that is trained for timing: compiled as `pipeline.train` does, or without its metrics."""

    def __init__(self, case: Case, side: int, *, metrics: bool = True) -> None:
        config = TrainConfig("", "", batch_size=case.batch_size, model=MODELS[case.model])
        self.batch_size = case.batch_size
        self.classifier = build_classifier(config, side, case.precision)
        self.model = add_augmentation(config, self.classifier) if case.augmented else self.classifier
        compile_model(self.model, config, total_steps=1000, precision=case.precision)
        if not metrics:
            self.model.compile(self.model.optimizer, self.model.loss, auto_scale_loss=False)
        self.model.jit_compile = case.xla
        self._expected_seconds = 0.0

    def meter(self, batches: tf.data.Dataset) -> Meter:
        """Of the images a second that are trained on, from an input without end."""

        def rate(seconds: float) -> float:
            if not self._expected_seconds:
                self._seconds(batches, 1)  # compiles
                self._expected_seconds = self._seconds(batches, BURN_IN_STEPS) / BURN_IN_STEPS
            steps = max(1, round(seconds / self._expected_seconds))
            return steps * self.batch_size / self._seconds(batches, steps)

        return rate

    def _seconds(self, batches: tf.data.Dataset, steps: int) -> float:
        clock = _Clock()
        self.model.fit(
            batches, steps_per_epoch=BURN_IN_STEPS + steps, callbacks=[clock], shuffle=False, verbose=0
        )
        # When it ends Keras puts the averages into the model, whose arrays JAX then takes for the same ones.
        self.model.set_weights(self.model.get_weights())
        return clock.seconds


def batch_in_memory(batch_size: int, side: int) -> tf.data.Dataset:
    """The same batch of noise without end, which takes no time to make."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (batch_size, side, side, 1), dtype=np.uint8)
    labels = generator.integers(0, 2, batch_size).astype(np.float32)
    return tf.data.Dataset.from_tensors((images, labels)).repeat()


def measure(timer: Timer, batch_sizes: tuple[int, ...], side: int) -> list[Result]:
    """Every model in every precision, with and without XLA and augmentation."""
    results = []
    for _, alike in itertools.groupby(
        cases(batch_sizes), lambda case: dataclasses.replace(case, xla=False, augmented=False)
    ):
        results += measure_cases(timer, list(alike), side)
    if "mixed_float16" not in precisions():
        results.append(skipped(GROUP, "mixed_float16", "no CPU has kernels for it: it takes minutes a step"))
    return results


def measure_cases(timer: Timer, alike: Sequence[Case], side: int) -> list[Result]:
    """The rates of some ways to train one model in one precision, in turn.

    Returns:
        Results with the operations of each, the fraction of the device's peak, and the memory so far.
    """
    trainings = [Training(case, side) for case in alike]
    inputs = [batch_in_memory(case.batch_size, side) for case in alike]
    meters = [training.meter(batches) for training, batches in zip(trainings, inputs, strict=True)]
    # Beside the cases: what else the machine does would otherwise slow one and not the other.
    *rates, peak = timer.in_turn([*meters, flops.peak(alike[0].precision)])
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
    """All that are measured; TensorFlow has no XLA kernel for the augmentation's resampling."""
    ways = [(False, False), (False, True), (True, False)]
    if keras.backend.backend() == "jax":
        ways = [(True, False), (True, True)]  # always compiles
    return [
        Case(model, batch_size, precision, *way)
        for model, batch_size, precision, way in itertools.product(MODELS, batch_sizes, precisions(), ways)
    ]


def precisions() -> tuple[Precision, ...]:
    """Those that the device has kernels for."""
    if on_cpu():
        return ("float32", "mixed_bfloat16")
    return ("float32", "mixed_float16", "mixed_bfloat16")


def on_cpu() -> bool:
    """Whether there is no other device to train on."""
    return all("cpu" in device.lower() for device in keras.distribution.list_devices())


def device_memory_bytes() -> int | None:
    """The most that was in use on the first GPU so far; None without one."""
    if on_cpu():
        return None
    if keras.backend.backend() == "jax":
        import jax

        return int(jax.devices()[0].memory_stats()["peak_bytes_in_use"])
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
