import io
import sys

import keras
import numpy as np
import pytest

from pipeline.training.epoch_bar import EpochBar

STEPS, EPOCHS = 5, 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def fit():
    """Trains a tiny network under the bar."""
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", "binary_crossentropy", metrics=[keras.metrics.AUC(name="auc")])
    features, labels = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2

    def run(*callbacks) -> None:
        with EpochBar(STEPS, EPOCHS) as bar:
            model.fit(
                features,
                labels,
                batch_size=4,
                epochs=EPOCHS,
                validation_data=(features, labels),
                callbacks=[bar, *callbacks],
                verbose=0,
            )

    return run


def test_a_terminal_shows_epoch_rate_time_left_and_the_best_so_far(fit, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")

    fit()

    shown = terminal.getvalue()
    assert "epoch 1 of 2" in shown
    assert "epoch 2 of 2, best val_auc 0." in shown
    assert "4/5 steps" in shown
    assert "a second" in shown
    assert "left" in shown


@pytest.mark.parametrize("terminal", [False, True], ids=["file", "one of several workers"])
def test_elsewhere_nothing_is_shown(fit, monkeypatch, terminal):
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "dumb")

    fit()

    assert stream.getvalue() == ""


def test_a_training_that_is_stopped_leaves_no_bar(fit, monkeypatch):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")

    with pytest.raises(KeyboardInterrupt):
        fit(Stop())

    shown = terminal.getvalue()
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l"), "the cursor is shown again"
    assert shown.endswith("\x1b[2K"), "the last line is erased"
