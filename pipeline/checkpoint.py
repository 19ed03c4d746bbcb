"""Keeps a training so that it can be killed at any moment and continue as if it had not been.

After each epoch the weights, the optimiser's state and the history are saved under a new name; then one small
file, replaced in a single rename, points to them. The best averaged weights are `model.keras`.
"""

import json
import logging
import time

import keras
import tensorflow as tf

from pipeline import runs, storage

FOLDER = "checkpoint"
POINTER = "latest.json"

logger = logging.getLogger(__name__)


class RunCheckpoint(keras.callbacks.SwapEMAWeights):
    """Validates, saves and selects the moving average of the weights, and stops when it no longer improves.

    Args:
        run: the run folder.
        classifier: the part of the trained model that is to be kept, sharing its weights.
        inference_model: a float32 twin of `classifier`, which is what is saved.
        monitor: the quantity of validation that is to become smallest.
        patience: epochs without improvement after which the training stops.
    """

    def __init__(
        self, run: str, classifier: keras.Model, inference_model: keras.Model, *, monitor: str, patience: int
    ) -> None:
        super().__init__()
        self.run = run
        self.classifier = classifier
        self.inference_model = inference_model
        self.monitor = monitor
        self.patience = patience
        self.history: list[dict[str, float]] = []
        self._epoch_began = 0.0

    def restore(self, model: keras.Model) -> int:
        """Loads what an earlier process saved into the compiled `model`; returns the epoch to go on with."""
        pointer = storage.join(self.run, FOLDER, POINTER)
        if not storage.exists(pointer):
            return 0
        state = json.loads(storage.read(pointer))
        model.optimizer.build(model.trainable_variables)
        storage.read_with(storage.join(self.run, FOLDER, state["weights"]), model.load_weights)
        for variable, value in zip(_random_states(model), state["random_states"], strict=True):
            variable.assign(value)
        self.history = state["history"]
        logger.info("continuing %s after epoch %d", self.run, len(self.history))
        return len(self.history)

    @property
    def has_ended(self) -> bool:
        """Whether the patience is used up."""
        return len(self.history) - self._best_epoch() >= self.patience

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock."""
        super().on_epoch_begin(epoch, logs)
        self._epoch_began = time.monotonic()

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
        self._save_state(epoch + 1)
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

    def _save_state(self, epoch: int) -> None:
        folder = storage.join(self.run, FOLDER)
        weights = f"epoch-{epoch:04d}.weights.h5"
        storage.write_with(storage.join(folder, weights), self.model.save_weights)
        random_states = [
            keras.ops.convert_to_numpy(variable).tolist() for variable in _random_states(self.model)
        ]
        state = {"weights": weights, "random_states": random_states, "history": self.history}
        storage.write(storage.join(folder, POINTER), json.dumps(state))
        for name in tf.io.gfile.listdir(folder):
            if name not in {weights, POINTER}:
                tf.io.gfile.remove(storage.join(folder, name))


def _random_states(model: keras.Model) -> list[keras.Variable]:
    """The states of dropout's and augmentation's random numbers, which Keras saves with no weights."""
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]


def discard(run: str) -> None:
    """Removes what only a continuation needs."""
    folder = storage.join(run, FOLDER)
    if storage.exists(folder):
        tf.io.gfile.rmtree(folder)
