"""Keeps a training so that it can be killed at any moment and continue as if it had not been.

After each epoch, and every few minutes within one, the weights, the optimiser's state, the random numbers,
the metrics so far and the history are saved under a new name; then one small file, replaced in a single
rename, points to them. The best averaged weights are `model.keras`.
"""

import dataclasses
import json
import logging
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline import runs
from tfrecords_builder import storage

FOLDER = "checkpoint"
POINTER = "latest.json"

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a training is to go on."""

    epoch: int = 0
    """Whole epochs behind it."""
    step: int = 0
    """Steps of the next epoch behind it."""


class RunCheckpoint(keras.callbacks.SwapEMAWeights):
    """Validates, saves and selects the moving average of the weights, and stops when it no longer improves.

    Args:
        run: the run folder.
        classifier: the part of the trained model that is to be kept, sharing its weights.
        inference_model: a float32 twin of `classifier`, which is what is saved.
        monitor: the quantity of validation that is to become smallest.
        patience: epochs without improvement after which the training stops.
        seconds: between two saves within an epoch.
    """

    def __init__(
        self,
        run: str,
        classifier: keras.Model,
        inference_model: keras.Model,
        *,
        monitor: str,
        patience: int,
        seconds: float,
    ) -> None:
        super().__init__()
        self.run = run
        self.classifier = classifier
        self.inference_model = inference_model
        self.monitor = monitor
        self.patience = patience
        self.seconds = seconds
        self.history: list[dict[str, float]] = []
        self._position = Position()
        self._metrics_so_far: list[Any] = []
        self._seconds_so_far = 0.0
        self._epoch_began = self._saved = 0.0

    def restore(self, model: keras.Model) -> Position:
        """Loads what was saved last, if anything was, into the compiled `model`; returns where to go on."""
        pointer = storage.join(self.run, FOLDER, POINTER)
        if not storage.exists(pointer):
            return self._position
        state = json.loads(storage.read(pointer))
        model.optimizer.build(model.trainable_variables)
        # Keras makes the metrics' variables when it sees a first batch; to evaluate one changes nothing else.
        model.test_on_batch(np.zeros((1, *model.input_shape[1:])), np.zeros((1,)))
        storage.read_with(storage.join(self.run, FOLDER, state["weights"]), model.load_weights)
        _assign(_random_states(model), state["random_states"])
        self._metrics_so_far = state["metrics"]
        self._seconds_so_far = state["seconds"]
        self.history = state["history"]
        self._position = Position(len(self.history), state["step"])
        return self._position

    @property
    def has_ended(self) -> bool:
        """Whether the patience is used up."""
        return len(self.history) - self._best_epoch() >= self.patience

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock; in the middle of an epoch, with the metrics of the part that is behind."""
        super().on_epoch_begin(epoch, logs)
        if self._position.step:
            _assign(self.model.metrics_variables, self._metrics_so_far)
        self._saved = time.monotonic()
        self._epoch_began = self._saved - self._seconds_so_far

    # Not at the end of a batch: there Keras would wait for each step's metrics before it starts the next.
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Saves the training now and then, as it is after `batch` steps."""
        if batch and time.monotonic() - self._saved >= self.seconds:
            self._save_state(self._position.step + batch)
            self._saved = time.monotonic()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Takes the averaged weights while they are in the model."""
        self.inference_model.set_weights(self.classifier.get_weights())
        super().on_test_end(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Saves the epoch, and the model if it is the best so far."""
        super().on_epoch_end(epoch, logs)
        row = {name: float(value) for name, value in (logs or {}).items()}
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.history.append({"epoch": epoch + 1, "seconds": time.monotonic() - self._epoch_began} | row)
        if self._best_epoch() == len(self.history):
            storage.write_with(storage.join(self.run, runs.MODEL), self.inference_model.save)
        self._position, self._seconds_so_far = Position(epoch + 1), 0.0
        self._save_state(0)
        storage.write(storage.join(self.run, runs.HISTORY), storage.to_csv(self.history))
        self.model.stop_training = self.has_ended
        logger.info(
            "epoch %d of %d, %.0f s: loss %.4f, val_loss %.4f, val_auc %.4f%s",
            epoch + 1,
            self.params["epochs"],
            self.history[-1]["seconds"],
            row["loss"],
            row["val_loss"],
            row["val_auc"],
            ", the best so far" if self._best_epoch() == len(self.history) else "",
        )

    def _best_epoch(self) -> int:
        """The epoch, counted from 1, of the smallest monitored quantity; 0 before the first."""
        values = [row[self.monitor] for row in self.history]
        return values.index(min(values)) + 1 if values else 0

    def _save_state(self, step: int) -> None:
        """Saves the training after so many steps of the epoch under way."""
        folder = storage.join(self.run, FOLDER)
        weights = f"epoch-{len(self.history):04d}-step-{step:08d}.weights.h5"
        storage.write_with(storage.join(folder, weights), self.model.save_weights)
        state = {
            "weights": weights,
            "random_states": _values(_random_states(self.model)),
            "metrics": _values(self.model.metrics_variables) if step else [],
            "seconds": time.monotonic() - self._epoch_began if step else 0.0,
            "step": step,
            "history": self.history,
        }
        storage.write(storage.join(folder, POINTER), json.dumps(state))
        for name in tf.io.gfile.listdir(folder):
            if name not in {weights, POINTER}:
                tf.io.gfile.remove(storage.join(folder, name))


def _random_states(model: keras.Model) -> list[keras.Variable]:
    """The states of dropout's and augmentation's random numbers, which Keras saves with no weights."""
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]


def _values(variables: list[keras.Variable]) -> list[Any]:
    return [keras.ops.convert_to_numpy(variable).tolist() for variable in variables]


def _assign(variables: list[keras.Variable], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def discard(run: str) -> None:
    """Removes what only a continuation needs."""
    folder = storage.join(run, FOLDER)
    if storage.exists(folder):
        tf.io.gfile.rmtree(folder)
