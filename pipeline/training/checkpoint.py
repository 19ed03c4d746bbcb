"""What happens during a training besides the training: its state is saved, and its best model is kept.

After each epoch, and every few minutes within one, the state of the training is saved
(`pipeline.training.saved_state`). So it can be killed at any moment and continues as if nothing had happened.
"""

import logging
import time
from typing import Any

import keras
import numpy as np

from pipeline import runs
from pipeline.training import history, saved_state
from pipeline.training.saved_state import Position, Progress
from tfrecords_builder import storage

logger = logging.getLogger(__name__)


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
        save_every_seconds: seconds between two checkpoints within an epoch.
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
        save_every_seconds: float,
    ) -> None:
        super().__init__()
        self.run = run
        self.classifier = classifier
        self.inference_model = inference_model
        self.monitor = monitor
        self.patience = patience
        self.epochs = epochs
        self.save_every_seconds = save_every_seconds
        self.history: list[history.Row] = []
        self._steps_before_stop = 0
        self._metrics_before_stop: list[Any] = []
        self._seconds_before_stop = 0.0
        self._epoch_started = self._last_saved = 0.0

    def restore(self, model: keras.Model) -> Position:
        """Loads the last checkpoint, if there is one, into the compiled `model`.

        Returns:
            The position from which the training continues.
        """
        progress = saved_state.restore(self.run, model)
        self.history = progress.history
        self._steps_before_stop = progress.step
        self._metrics_before_stop = progress.metrics
        self._seconds_before_stop = progress.seconds
        return progress.position

    @property
    def has_ended(self) -> bool:
        """Whether there was no better epoch for `patience` epochs."""
        return history.epochs_without_better(self.history, self.monitor) >= self.patience

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock. An epoch that was stopped in the middle continues its time and its metrics."""
        super().on_epoch_begin(epoch, logs)
        if self._steps_before_stop:
            self._continue_metrics(epoch)
        self._last_saved = time.monotonic()
        self._epoch_started = self._last_saved - self._seconds_before_stop

    def _continue_metrics(self, epoch: int) -> None:
        variables = self.model.metrics_variables
        if [np.shape(value) for value in self._metrics_before_stop] == [tuple(v.shape) for v in variables]:
            saved_state.assign(variables, self._metrics_before_stop)
        else:
            logger.warning(
                "the metrics of epoch %d leave out its first %d steps, which an earlier version counted",
                epoch + 1,
                self._steps_before_stop,
            )

    # At the end of a batch Keras would wait for the metrics of each step before it starts the next one.
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Saves a checkpoint of the `batch` steps so far if the last one is old enough."""
        if batch and time.monotonic() - self._last_saved >= self.save_every_seconds:
            self._save_state(self._steps_before_stop + batch)
            self._last_saved = time.monotonic()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Copies the averaged weights, which are in the model during validation only."""
        self.inference_model.set_weights(self.classifier.get_weights())
        super().on_test_end(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Saves the model if it is the best so far, the table of the epochs, and last a checkpoint."""
        super().on_epoch_end(epoch, logs)
        self._append_to_history(epoch + 1, logs or {})
        is_best = history.epochs_without_better(self.history, self.monitor) == 0
        # The state comes last: a training that is killed before continues from the state before, repeats what
        # came after it in the same way, and so writes the same model and the same table again.
        if is_best:
            storage.write_with(storage.join(self.run, runs.MODEL), self.inference_model.save)
        history.write(self.run, self.history)
        self._steps_before_stop, self._seconds_before_stop = 0, 0.0
        self._save_state(0)
        self.model.stop_training = self.has_ended
        self._log_last_epoch(is_best=is_best)

    def _append_to_history(self, epoch: int, logs: dict[str, float]) -> None:
        row = {name: float(value) for name, value in logs.items()}
        history.refuse_lost_loss([row["loss"], row[self.monitor]], epoch)
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.history.append({"epoch": epoch, "seconds": time.monotonic() - self._epoch_started} | row)

    def _log_last_epoch(self, *, is_best: bool) -> None:
        row = self.history[-1]
        logger.info(
            "epoch %d of %d, %.0f s: loss %.4f, val_loss %.4f, val_auc %.4f%s",
            row["epoch"],
            self.epochs,
            row["seconds"],
            row["loss"],
            row["val_loss"],
            row["val_auc"],
            ", the best so far" if is_best else "",
        )

    def _save_state(self, step: int) -> None:
        """Saves a checkpoint after `step` steps of the current epoch."""
        metrics = saved_state.values(self.model.metrics_variables) if step else []
        for value in metrics:
            history.refuse_lost_loss(np.ravel(value), len(self.history) + 1)
        seconds = time.monotonic() - self._epoch_started if step else 0.0
        saved_state.save(self.run, self.model, Progress(self.history, step, metrics, seconds))
