import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline import runs
from pipeline.input.arrays import load_arrays
from pipeline.model import build_model
from pipeline.train import class_weights, compile_model, train, trainable, validation_dataset
from pipeline.training import precision
from pipeline.training.checkpoint import RunCheckpoint
from pipeline.training.precision import resolve
from pipeline.training.settings import ModelConfig, TrainConfig
from tests.small_run import quick_training
from tfrecords_builder import manifest
from tfrecords_builder.errors import UserError


def weights_of(run) -> list[np.ndarray]:
    return runs.load(str(run)).model.get_weights()


def test_a_run_folder_has_what_later_commands_take(finished_run, records):
    folder = Path(finished_run)
    present = {path.name for path in folder.iterdir()}
    assert present >= {
        "config.json",
        "environment.json",
        "dataset.json",
        "history.csv",
        "logs",
        "model.keras",
        "operating_point.json",
    }
    assert "checkpoint" not in present
    assert (folder / "dataset.json").read_text() == (Path(records) / "dataset.json").read_text()
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["packages"]["keras"] == keras.__version__
    assert environment["seed"] == 0
    assert any((folder / "logs").rglob("events.*"))


def test_it_learns_and_the_operating_point_reaches_its_target_on_val(finished_run, records):
    loaded = runs.load(finished_run)
    images, labels = (array.numpy() for array in load_arrays(records, "val"))
    probabilities = loaded.model.predict(images, verbose=0)[:, 0]

    found = probabilities >= loaded.operating_point.threshold

    assert found[labels == 1].mean() == pytest.approx(loaded.operating_point.sensitivity)
    assert found[labels == 1].mean() >= 0.97
    assert found[labels == 0].mean() <= 0.2


def test_the_kept_model_is_the_one_of_the_best_epoch(finished_run, records):
    with (Path(finished_run) / "history.csv").open() as file:
        best = min(float(row["val_loss"]) for row in csv.DictReader(file))
    images, labels = load_arrays(records, "val")
    config = quick_training(records, "unused")
    validated = trainable(config, runs.load(finished_run).model)
    probabilities = validated.predict(np.asarray(images), batch_size=config.batch_size, verbose=0)[:, 0]

    # The classes have the same number of images, so that their weights are 1.
    assert float(keras.losses.binary_crossentropy(labels, probabilities)) == pytest.approx(best, rel=1e-3)


def test_validation_is_weighed_as_training_is(write_records):
    records = write_records({"train": 30, "val": 7})
    content = manifest.load(records)
    config = quick_training(records, "unused")

    batches = list(validation_dataset(config, content))

    for _, labels, weights in batches:
        expected = [class_weights(content)[int(label)] for label in labels]
        np.testing.assert_allclose(weights, expected)
    assert sum(len(labels) for _, labels, _ in batches) == 7


def test_killed_and_continued_it_ends_as_if_it_had_not_been(records, tmp_path):
    """A real SIGKILL of a real process, after some epoch."""
    whole, broken = str(tmp_path / "whole"), str(tmp_path / "broken")
    train(quick_training(records, whole))
    command = [
        sys.executable, "-m", "pipeline.train", records, broken, "--epochs", "6", "--batch-size", "16",
        "--learning-rate", "1e-2", "--ema", "0.8", "--precision", "float32", "--model.filters", "4", "8",
        "--model.dense-units", "8", "--model.dropout", "0.2",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    pointer = Path(broken) / "checkpoint" / "latest.json"
    deadline = time.monotonic() + 120
    while not pointer.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = len(json.loads(pointer.read_text())["history"])
    assert not runs.is_finished(broken)
    assert 1 <= done < 6

    train(quick_training(records, broken))

    with (Path(broken) / "history.csv").open() as file:
        assert [int(float(row["epoch"])) for row in csv.DictReader(file)] == [1, 2, 3, 4, 5, 6]
    for ours, theirs in zip(weights_of(whole), weights_of(broken), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("cache", ["ram", "none"])
@pytest.mark.parametrize("saves", [2, 9])
def test_killed_within_an_epoch_it_takes_the_remaining_batches_and_no_others(
    records, tmp_path, monkeypatch, cache, saves
):
    whole, broken = (
        quick_training(records, str(tmp_path / name), epochs=2, cache=cache, checkpoint_seconds=seconds)
        for name, seconds in (("whole", 1e6), ("broken", 0.0))
    )
    train(whole)
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
            train(broken)
    assert 0 < steps_saved[-1] < 6

    train(broken)

    for ours, theirs in zip(weights_of(whole.run), weights_of(broken.run), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert history_of(broken.run) == [pytest.approx(row, abs=1e-5) for row in history_of(whole.run)]


def history_of(run) -> list[dict[str, float]]:
    """What was measured in each epoch, but how long it took."""
    with (Path(run) / "history.csv").open() as file:
        return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_a_continued_training_keeps_the_precision_it_was_begun_with(records, tmp_path, monkeypatch):
    config = quick_training(records, str(tmp_path / "run"), epochs=2, precision="auto")
    monkeypatch.setattr(precision, "resolve", lambda *_: "mixed_bfloat16")
    with monkeypatch.context() as context:
        context.setattr(RunCheckpoint, "on_epoch_end", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            train(config)
    monkeypatch.setattr(precision, "resolve", lambda *_: pytest.fail("measured again"))
    trained = []
    monkeypatch.setattr("pipeline.train.build_model", recording(trained))

    train(config)

    assert trained[0] == "mixed_bfloat16"


def recording(precisions: list[str]):
    def build(*args, precision="float32", **kwargs):
        precisions.append(precision)
        return build_model(*args, precision=precision, **kwargs)

    return build


def test_a_run_begun_with_other_settings_is_not_continued(finished_run, records):
    with pytest.raises(UserError, match="seed=0, not 5"):
        train(quick_training(records, finished_run, seed=5))


def test_a_finished_run_is_left_alone(finished_run, records):
    before = (Path(finished_run) / "model.keras").read_bytes()

    train(quick_training(records, finished_run))

    assert (Path(finished_run) / "model.keras").read_bytes() == before


def test_patience_ends_a_training_that_no_longer_improves(records, tmp_path):
    run = tmp_path / "run"
    train(quick_training(records, str(run), epochs=30, patience=1, learning_rate=0.3))

    with (run / "history.csv").open() as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    assert len(losses) < 30
    assert losses.index(min(losses)) == len(losses) - 2


def test_class_weights_make_both_classes_count_the_same(records):
    content = manifest.load(records)
    counts = content.splits["train"].classes
    weights = class_weights(content)

    assert weights[0] * counts["NORMAL"] == pytest.approx(weights[1] * counts["PNEUMONIA"])
    assert sum(weights[k] * n for k, n in enumerate(counts.values())) == pytest.approx(sum(counts.values()))


def test_the_learning_rate_rises_and_falls(records):
    config = quick_training(records, "unused", warmup=0.2)
    model = trainable(config, build_model(config.model, 32))
    compile_model(model, config, total_steps=100)
    rate = model.optimizer._learning_rate

    values = [float(rate(step)) for step in (0, 10, 20, 60, 100)]

    assert values == pytest.approx([0, 0.005, 0.01, 0.005, 0], abs=2e-4)


@pytest.mark.parametrize("counts", [{"train": 4}, {"train": 4, "val": 1}])
def test_a_split_without_both_classes_is_the_users_mistake(write_records, tmp_path, counts):
    with pytest.raises(UserError, match="both"):
        train(quick_training(write_records(counts, shards=1), str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"learning_rate": 0.0}, {"ema": 1.0}, {"target_sensitivity": 0.0}, {"warmup": 1.0}],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        TrainConfig("records", "run", **wrong)


def test_auto_precision_is_float32_or_one_that_was_measured_to_be_faster():
    tried = []

    def build(precision):
        tried.append(precision)
        return build_model(ModelConfig(filters=(4, 8)), 32, precision=precision)

    assert resolve("auto", build, (4, 32, 32, 1)) in tried
    assert "float32" in tried
    assert resolve("mixed_float16", build, (4, 32, 32, 1)) == "mixed_float16"
