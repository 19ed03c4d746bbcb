"""A training that is killed continues as if nothing had happened, and stops when it no longer improves."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline import runs
from pipeline.training.checkpoint import RunCheckpoint
from pipeline.training.fit import train
from tests.small_run import Killed, quick_training
from tfrecords_builder import storage


def weights_of(run) -> list[np.ndarray]:
    return runs.load(str(run)).model.get_weights()


def history_of(run) -> list[dict[str, float]]:
    """The metrics of each epoch, without the seconds that it took."""
    with (Path(run) / "history.csv").open() as file:
        return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.slow
def test_a_process_that_is_killed_after_an_epoch_is_continued_to_the_same_weights(
    finished_run, records, tmp_path
):
    broken = str(tmp_path / "broken")
    command = [
        sys.executable, "-m", "pipeline.train", records, broken, "--epochs", "6", "--batch-size", "16",
        "--learning-rate", "1e-2", "--ema", "0.8", "--precision", "float32", "--model.filters", "4", "8",
        "--model.convolutions", "1", "--model.dense-units", "8", "--model.dropout", "0.2",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    state = Path(broken) / "checkpoint" / "latest.json"
    deadline = time.monotonic() + 120
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not runs.is_finished(broken)
    assert 1 <= len(json.loads(state.read_text())["history"]) < 6

    train(quick_training(records, broken))

    assert [row["epoch"] for row in history_of(broken)] == [1, 2, 3, 4, 5, 6]
    for uninterrupted, continued in zip(weights_of(finished_run), weights_of(broken), strict=True):
        np.testing.assert_allclose(continued, uninterrupted, atol=1e-5)


@pytest.fixture(scope="module", params=["ram", pytest.param("none", marks=pytest.mark.slow)])
def uninterrupted(request, records, tmp_path_factory) -> tuple[str, str]:
    """A way to keep the records, and the run folder of a training of two epochs that nobody stopped."""
    run = str(tmp_path_factory.mktemp("uninterrupted") / "run")
    train(quick_training(records, run, epochs=2, cache=request.param))
    return request.param, run


@pytest.mark.parametrize("saves", [pytest.param(2, marks=pytest.mark.slow), 9])
def test_killed_within_an_epoch_it_takes_the_remaining_batches_and_no_others(
    uninterrupted, records, tmp_path, monkeypatch, saves
):
    cache, whole = uninterrupted
    broken = quick_training(records, str(tmp_path / "broken"), epochs=2, cache=cache, checkpoint_seconds=0.0)
    train_until_killed(broken, saves, monkeypatch)

    train(broken)

    for expected, continued in zip(weights_of(whole), weights_of(broken.run), strict=True):
        np.testing.assert_allclose(continued, expected, atol=1e-6)
    assert history_of(broken.run) == [pytest.approx(row, abs=1e-5) for row in history_of(whole)]


def train_until_killed(config, saves: int, monkeypatch) -> None:
    """Trains until a state was saved so often, within an epoch."""
    with monkeypatch.context() as context:
        save_state = RunCheckpoint._save_state
        steps_saved = []

        def save_or_die(self, step):
            if len(steps_saved) == saves:
                raise Killed
            save_state(self, step)
            steps_saved.append(step)

        context.setattr(RunCheckpoint, "_save_state", save_or_die)
        with pytest.raises(Killed):
            train(config)
    assert 0 < steps_saved[-1] < 6


@pytest.mark.slow
def test_metrics_that_an_earlier_version_saved_within_an_epoch_are_left_out(
    records, tmp_path, monkeypatch, caplog
):
    broken = quick_training(records, str(tmp_path / "broken"), epochs=1, checkpoint_seconds=0.0)
    train_until_killed(broken, 2, monkeypatch)
    state = Path(broken.run) / "checkpoint" / "latest.json"
    earlier = json.loads(state.read_text()) | {"metrics": [3.0, 2.0, [1.0, 1.0]]}
    state.write_text(json.dumps(earlier))

    train(broken)

    assert "the metrics of epoch 1 leave out its first 2 steps" in caplog.text
    assert 0 < history_of(broken.run)[0]["accuracy"] <= 1


@pytest.mark.slow
@pytest.mark.parametrize("uninterrupted", ["ram"], indirect=True)
@pytest.mark.parametrize("last_write", [".weights.h5", "latest.json"])
def test_killed_between_the_writes_of_the_last_epoch_it_leaves_the_same_run(
    uninterrupted, records, tmp_path, monkeypatch, last_write
):
    cache, whole = uninterrupted
    broken = quick_training(records, str(tmp_path / "broken"), epochs=2, cache=cache)
    with monkeypatch.context() as context:
        write = storage.write
        written = []

        def write_and_die(path, content):
            write(path, content)
            written.append(path)
            if sum(name.endswith(last_write) for name in written) == 2:
                raise Killed

        context.setattr(storage, "write", write_and_die)
        with pytest.raises(Killed):
            train(broken)
    assert written[-1].endswith(last_write)

    train(broken)

    for expected, continued in zip(weights_of(whole), weights_of(broken.run), strict=True):
        np.testing.assert_allclose(continued, expected, atol=1e-6)
    assert history_of(broken.run) == [pytest.approx(row, abs=1e-5) for row in history_of(whole)]
    assert {path.name for path in (Path(broken.run) / "checkpoint").iterdir()} == {
        "latest.json",
        "epoch-0002-step-00000000.weights.h5",
    }


def test_patience_ends_a_training_that_no_longer_improves(records, tmp_path):
    run = tmp_path / "run"
    train(quick_training(records, str(run), epochs=30, patience=1, learning_rate=0.3))

    losses = [row["val_loss"] for row in history_of(run)]
    assert len(losses) < 30
    assert losses.index(min(losses)) == len(losses) - 2
