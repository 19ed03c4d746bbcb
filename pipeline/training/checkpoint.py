"""Saves a training so that it can be killed at any moment and then continue as if nothing had happened.

After each epoch, and every few minutes within one, the weights and the state of the optimizer are saved under
a new name. Then one small file is replaced, in a single rename: it names the weights and holds the states of
the random numbers, the metrics so far and the history. The best averaged weights become `model.keras`.
"""

import csv
import dataclasses
import json
import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from pipeline import runs
from tfrecords_builder import continuing, ownership, storage
from tfrecords_builder.errors import UserError, first_line

POINTER = "latest.json"

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Position:
    """How far a training has come."""

    epoch: int = 0
    """Number of epochs that are completed."""
    step: int = 0
    """Number of completed steps of the epoch that follows them."""


class RunCheckpoint(keras.callbacks.SwapEMAWeights):
    """Keras callback that saves the training, keeps the best model and stops when it no longer improves.

    What is validated and kept as a model is the moving average of the weights.

    If the loss is no longer a number, it stops the training and keeps the checkpoint before.

    Args:
        run: the run folder, a path or a URL.
        classifier: the part of the trained model that becomes `model.keras`.
        inference_model: a model of the same weights that computes in float32; this one is saved.
        monitor: the validation metric that selects the best epoch; the smallest value is the best.
        patience: number of epochs without a better value after which the training stops.
        epochs: number of epochs of the whole training, for the log.
        seconds: seconds between two checkpoints within an epoch.
    """

    def __init__(
        self,
        run: str,
        classifier: keras.Model,
        inference_model: keras.Model,
        *,
        monitor: str,
        patience: int,
        epochs: int,
        seconds: float,
    ) -> None:
        super().__init__()
        self.run = run
        self.classifier = classifier
        self.inference_model = inference_model
        self.monitor = monitor
        self.patience = patience
        self.epochs = epochs
        self.seconds = seconds
        self.history: list[dict[str, float]] = []
        self._position = Position()
        self._metrics_so_far: list[Any] = []
        self._seconds_so_far = 0.0
        self._epoch_started = self._last_saved = 0.0

    def restore(self, model: keras.Model) -> Position:
        """Loads the last checkpoint, if there is one, into the compiled `model`.

        Returns:
            The position from which the training continues.
        """
        pointer = storage.join(self.run, runs.CHECKPOINT, POINTER)
        if not storage.exists(pointer):
            return self._position
        state = continuing.read_json(pointer)
        model.optimizer.build(model.trainable_variables)
        # Keras makes the variables of the metrics at the first batch. Evaluating one changes no weight.
        model.test_on_batch([np.zeros((1, *tensor.shape[1:])) for tensor in model.inputs], np.zeros((1,)))
        _load_weights(model, storage.join(self.run, runs.CHECKPOINT, state["weights"]))
        _assign(_random_states(model), state["random_states"])
        self._metrics_so_far = state["metrics"]
        self._seconds_so_far = state["seconds"]
        self.history = state["history"]
        self._position = Position(len(self.history), state["step"])
        return self._position

    @property
    def has_ended(self) -> bool:
        """Whether there was no better epoch for `patience` epochs."""
        return epochs_without_better(self.history, self.monitor) >= self.patience

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock. An epoch that was stopped within continues its time and its metrics."""
        super().on_epoch_begin(epoch, logs)
        if self._position.step:
            _assign(self.model.metrics_variables, self._metrics_so_far)
        self._last_saved = time.monotonic()
        self._epoch_started = self._last_saved - self._seconds_so_far

    # At the end of a batch Keras would wait for the metrics of each step before it starts the next one.
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Saves a checkpoint of the `batch` steps so far if the last one is old enough."""
        if batch and time.monotonic() - self._last_saved >= self.seconds:
            self._save_state(self._position.step + batch)
            self._last_saved = time.monotonic()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Copies the averaged weights, which are in the model during validation only."""
        self.inference_model.set_weights(self.classifier.get_weights())
        super().on_test_end(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Saves a checkpoint of the epoch, and the model if it is the best so far."""
        super().on_epoch_end(epoch, logs)
        row = {name: float(value) for name, value in (logs or {}).items()}
        self._refuse_lost_loss([row["loss"], row[self.monitor]])
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.history.append({"epoch": epoch + 1, "seconds": time.monotonic() - self._epoch_started} | row)
        is_best = epochs_without_better(self.history, self.monitor) == 0
        if is_best:
            storage.write_with(storage.join(self.run, runs.MODEL), self.inference_model.save)
        self._position, self._seconds_so_far = Position(epoch + 1), 0.0
        self._save_state(0)
        storage.write(storage.join(self.run, runs.HISTORY), storage.to_csv(self.history))
        self.model.stop_training = self.has_ended
        logger.info(
            "epoch %d of %d, %.0f s: loss %.4f, val_loss %.4f, val_auc %.4f%s",
            epoch + 1,
            self.epochs,
            self.history[-1]["seconds"],
            row["loss"],
            row["val_loss"],
            row["val_auc"],
            ", the best so far" if is_best else "",
        )

    def _refuse_lost_loss(self, values: Iterable[float]) -> None:
        """Stops the training if a value is not finite.

        Raises:
            UserError: if one is not.
        """
        if not all(map(math.isfinite, values)):
            raise UserError(
                f"the loss became NaN in epoch {len(self.history) + 1}, and no training recovers from that: "
                "use a smaller --learning-rate or --precision float32, with --overwrite or another folder"
            )

    def _save_state(self, step: int) -> None:
        """Saves a checkpoint after `step` steps of the current epoch, and removes the one before."""
        metrics = _values(self.model.metrics_variables) if step else []
        self._refuse_lost_loss(np.concatenate([np.ravel(value) for value in metrics]) if metrics else [])
        folder = storage.join(self.run, runs.CHECKPOINT)
        weights = f"epoch-{len(self.history):04d}-step-{step:08d}.weights.h5"
        storage.write_with(storage.join(folder, weights), self.model.save_weights)
        state = {
            "weights": weights,
            "random_states": _values(_random_states(self.model)),
            "metrics": metrics,
            "seconds": time.monotonic() - self._epoch_started if step else 0.0,
            "step": step,
            "history": self.history,
        }
        storage.write(storage.join(folder, POINTER), json.dumps(state))
        for name, _ in list(storage.entries(folder)):
            if name not in {weights, POINTER} and ownership.is_owned(folder, name, runs.CHECKPOINT_FILES):
                storage.remove(storage.join(folder, name))


def _load_weights(model: keras.Model, path: str) -> None:
    try:
        storage.read_with(path, model.load_weights)
    except (OSError, ValueError, KeyError) as error:  # what h5py and Keras raise for a file that is damaged
        raise UserError(
            f"the checkpoint {path!r} cannot be loaded ({first_line(error)}): restore it, or start from the "
            "beginning with --overwrite"
        ) from None


def _random_states(model: keras.Model) -> list[keras.Variable]:
    """The random number states of dropout and augmentation, which `save_weights` leaves out."""
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]


def _values(variables: list[keras.Variable]) -> list[Any]:
    return [keras.ops.convert_to_numpy(variable).tolist() for variable in variables]


def _assign(variables: list[keras.Variable], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def stored_history(run: str) -> list[dict[str, float]]:
    """The metrics of each epoch that was completed in a run folder; empty if there is none."""
    pointer = storage.join(run, runs.CHECKPOINT, POINTER)
    if storage.exists(pointer):
        return list(continuing.read_json(pointer)["history"])
    path = storage.join(run, runs.HISTORY)  # of a run that an earlier version finished
    rows = csv.DictReader(storage.read(path).splitlines()) if storage.exists(path) else []
    return [{name: float(value) for name, value in row.items()} for row in rows]


def exists(run: str) -> bool:
    """Whether a run folder has a checkpoint. Earlier versions removed it when the training was finished."""
    return storage.exists(storage.join(run, runs.CHECKPOINT, POINTER))


def epochs_without_better(history: Sequence[Mapping[str, float]], monitor: str) -> int:
    """The number of epochs since the one with the smallest value of the metric `monitor`."""
    values = [row[monitor] for row in history]
    return len(values) - 1 - values.index(min(values)) if values else 0
