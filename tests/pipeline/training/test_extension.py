"""A training that goes on: with more epochs or patience, on records that have moved, or not at all."""

import csv
import json
import math
import shutil
from pathlib import Path

import keras
import pytest

from pipeline import runs
from pipeline.training.checkpoint import RunCheckpoint
from pipeline.training.fit import train
from tests.small_run import Killed, quick_training
from tfrecords_builder.errors import UserError

PEAK, STEPS = 1e-2, 6  # learning rate of `quick_training`, and steps of an epoch


@pytest.fixture(scope="module")
def two_epochs(records, tmp_path_factory) -> Path:
    """The run folder of a training that was finished after two epochs."""
    run = tmp_path_factory.mktemp("extension") / "run"
    train(quick_training(records, str(run), epochs=2))
    return run


@pytest.fixture
def run(two_epochs, tmp_path) -> Path:
    return Path(shutil.copytree(two_epochs, tmp_path / "run"))


def history_of(run: Path) -> list[dict[str, float]]:
    with (run / "history.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def files_of(folder: Path) -> dict[Path, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def scheduled(step: int, epochs: int) -> float:
    """The learning rate after `step` steps of a training of so many epochs: a cosine after the warm-up."""
    total = STEPS * epochs
    warmup = max(1, round(0.05 * total))
    return PEAK * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


def killed_after(monkeypatch, epochs: int) -> None:
    on_epoch_begin = RunCheckpoint.on_epoch_begin

    def begin_or_die(self, epoch, logs=None):
        if epoch == epochs:
            raise Killed
        on_epoch_begin(self, epoch, logs)

    monkeypatch.setattr(RunCheckpoint, "on_epoch_begin", begin_or_die)


def test_more_epochs_extend_a_finished_training_by_the_schedule_of_the_new_number(run, records):
    before = history_of(run)

    train(quick_training(records, str(run), epochs=4))

    history = history_of(run)
    assert history[:2] == before
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    for row, epochs in zip(history, (2, 2, 4, 4), strict=True):
        expected = scheduled(STEPS * int(row["epoch"]), epochs)
        assert row["learning_rate"] == pytest.approx(expected, rel=1e-4, abs=1e-9)
    assert runs.is_finished(str(run))
    assert json.loads((run / "config.json").read_text())["epochs"] == 4


@pytest.mark.slow
def test_an_extension_that_is_killed_leaves_an_unfinished_run_and_is_continued(run, records, monkeypatch):
    with monkeypatch.context() as context:
        killed_after(context, 3)
        with pytest.raises(Killed):
            train(quick_training(records, str(run), epochs=4))
    assert not runs.is_finished(str(run))
    assert len(history_of(run)) == 3

    train(quick_training(records, str(run), epochs=4))

    assert [row["epoch"] for row in history_of(run)] == [1, 2, 3, 4]


@pytest.mark.parametrize("epochs", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_an_unfinished_training_takes_another_number_of_epochs(records, tmp_path, monkeypatch, epochs):
    run = tmp_path / "run"
    with monkeypatch.context() as context:
        killed_after(context, 1)
        with pytest.raises(Killed):
            train(quick_training(records, str(run), epochs=2))

    train(quick_training(records, str(run), epochs=epochs))

    assert len(history_of(run)) == epochs
    assert runs.load(str(run)).config["epochs"] == epochs


def test_fewer_epochs_than_are_completed_are_refused_and_change_nothing(run, records):
    before = files_of(run)

    with pytest.raises(UserError, match="trained for 2 epochs, more than --epochs 1"):
        train(quick_training(records, str(run), epochs=1))

    assert files_of(run) == before


def test_a_finished_run_without_a_checkpoint_cannot_be_extended(run, records):
    shutil.rmtree(run / "checkpoint")  # as earlier versions did
    before = files_of(run)

    train(quick_training(records, str(run), epochs=2))
    with pytest.raises(UserError, match="has no checkpoint/ to go on from"):
        train(quick_training(records, str(run), epochs=3))

    assert files_of(run) == before


@pytest.mark.slow
def test_a_training_that_stopped_early_goes_on_with_more_patience_only(run, records):
    state = json.loads((run / "checkpoint/latest.json").read_text())
    losses = [0.1, 0.2]  # the second epoch was not better
    state["history"] = [row | {"val_loss": loss} for row, loss in zip(state["history"], losses, strict=True)]
    (run / "checkpoint/latest.json").write_text(json.dumps(state))
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"patience": 1, "epochs": 3}))

    train(quick_training(records, str(run), epochs=3, patience=1))
    assert len(history_of(run)) == 2
    with pytest.raises(UserError, match="stopped after epoch 2, because 1 epochs brought no better"):
        train(quick_training(records, str(run), epochs=4, patience=1))
    train(quick_training(records, str(run), epochs=3, patience=2))

    assert len(history_of(run)) == 3
    with pytest.raises(UserError, match="patience=2, more than --patience 1"):
        train(quick_training(records, str(run), epochs=3, patience=1))


def test_the_records_may_have_moved(run, records, tmp_path):
    moved = shutil.copytree(records, tmp_path / "moved")
    before = (run / "model.keras").read_bytes()

    train(quick_training(f"{moved}/", str(run), epochs=2))

    assert (run / "model.keras").read_bytes() == before


def test_other_records_under_the_same_path_are_refused(two_epochs, records, write_records, tmp_path):
    run, path = tmp_path / "run", tmp_path / "records"
    shutil.copytree(two_epochs, run)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"records": str(path)}))
    shutil.copytree(write_records({"train": 96, "val": 38}), path)
    before = files_of(run)

    with pytest.raises(UserError, match=r"other records than those in .*dataset\.json differs"):
        train(quick_training(str(path), str(run), epochs=4))

    assert files_of(run) == before


@pytest.mark.parametrize("checkpoint_seconds", [0, 120])
def test_a_loss_that_becomes_nan_ends_the_training_and_keeps_the_checkpoint_before(
    run, records, monkeypatch, checkpoint_seconds
):
    call = keras.losses.BinaryCrossentropy.call
    before = (run / "checkpoint/latest.json").read_bytes(), (run / "model.keras").read_bytes()
    monkeypatch.setattr(
        keras.losses.BinaryCrossentropy, "call", lambda *arguments: call(*arguments) * float("nan")
    )

    with pytest.raises(UserError, match=r"the loss became NaN in epoch 3, .*--learning-rate"):
        train(quick_training(records, str(run), epochs=4, checkpoint_seconds=checkpoint_seconds))

    assert ((run / "checkpoint/latest.json").read_bytes(), (run / "model.keras").read_bytes()) == before


@pytest.mark.parametrize("damage", ["latest.json", "weights"])
def test_a_damaged_checkpoint_is_named(run, records, damage):
    (path,) = (run / "checkpoint").glob(f"*{damage}*")
    path.write_bytes(path.read_bytes()[:100])

    with pytest.raises(UserError, match=rf"{path.name}' (is damaged|cannot be loaded).*--overwrite"):
        train(quick_training(records, str(run), epochs=3))


@pytest.mark.parametrize("name", ["model.keras", "operating_point.json", "config.json"])
def test_a_damaged_run_is_named(run, name):
    (run / name).write_bytes((run / name).read_bytes()[:40])

    with pytest.raises(UserError, match=r"damaged|cannot be loaded"):
        runs.load(str(run))


def test_a_shard_that_is_damaged_is_met_while_training(records, tmp_path):
    damaged = Path(shutil.copytree(records, tmp_path / "records"))
    shard = damaged / "train-00001-of-00003.tfrecord"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)

    with pytest.raises(UserError, match=r"damaged or cannot be read \(corrupted record at \d+\).*verify"):
        train(quick_training(f"file://{damaged}", str(tmp_path / "run"), cache="none"))
