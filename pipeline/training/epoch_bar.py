"""Shows how far a training is: a bar for each epoch, with the step rate and the time that is left."""

from typing import Any, Self

import keras

from tfrecords_builder.cli.progress import StepBar


class EpochBar(keras.callbacks.Callback):
    """Keras callback that shows a bar on a terminal, and nothing elsewhere: each epoch has a line in the log.

    It is also a context manager, which takes the bar away at the end of its block.

    Args:
        steps: number of steps of a whole epoch.
        epochs: number of epochs of the whole training.
    """

    def __init__(self, steps: int, epochs: int) -> None:
        super().__init__()
        self.async_safe = True  # else Keras would wait for the metrics of each step
        self._steps = steps
        self._epochs = epochs
        self._best_auc: float | None = None
        self._bar: StepBar | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Takes the bar away, also if the training was stopped within an epoch."""
        self._close()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Begins the bar of an epoch: of the rest of its steps if it was stopped in the middle."""
        best = "" if self._best_auc is None else f", best val_auc {self._best_auc:.4f}"
        what = f"epoch {epoch + 1} of {self._epochs}{best}"
        steps_after = (self._epochs - epoch - 1) * self._steps
        self._bar = StepBar(self.params["steps"], what, steps_after)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Moves the bar."""
        if self._bar is not None:
            self._bar.update(batch)

    def on_test_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        """Takes the bar away: what follows is the validation and the line of the epoch."""
        self._close()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Remembers the best epoch."""
        self._close()
        auc = (logs or {}).get("val_auc")
        if auc is not None:
            self._best_auc = max(float(auc), self._best_auc or 0.0)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
