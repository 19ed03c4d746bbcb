import csv
import json
import logging
import uuid
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from pipeline import runs
from pipeline.input import reader
from pipeline.input.arrays import load_arrays
from pipeline.network.calibrated import without_calibration
from pipeline.train import main
from pipeline.training import fit, recipe
from pipeline.training.checkpoint import RunCheckpoint
from pipeline.training.fit import train
from pipeline.training.recipe import add_augmentation
from tests.small_run import Killed, quick_training
from tfrecords_builder import manifest
from tfrecords_builder.errors import UserError


def test_a_run_folder_has_what_later_commands_read(finished_run, records):
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
        "checkpoint",
    }
    assert (folder / "dataset.json").read_text() == (Path(records) / "dataset.json").read_text()
    assert any((folder / "logs").rglob("events.*"))


def test_the_operating_point_reaches_its_target_on_val(finished_run, records):
    loaded = runs.load(finished_run)
    images, labels = load_arrays(records, "val")
    probabilities = loaded.model.predict(images, verbose=0)[:, 0]

    found = probabilities >= loaded.operating_point.threshold

    assert found[labels == 1].mean() == pytest.approx(loaded.operating_point.sensitivity)
    assert found[labels == 1].mean() >= 0.97
    assert found[labels == 0].mean() <= 0.2


def test_the_kept_model_is_the_one_of_the_best_epoch(finished_run, records):
    with (Path(finished_run) / "history.csv").open() as file:
        best = min(float(row["val_loss"]) for row in csv.DictReader(file))
    _, labels = load_arrays(records, "val")
    content = manifest.load(records)
    config = recipe.resolve_attention(quick_training(records, "unused"), content)
    validated = add_augmentation(config, without_calibration(runs.load(finished_run).model))
    probabilities = validated.predict(recipe.validation_data(config, content), verbose=0)[:, 0]

    # Both classes have the same number of images, so that their weights are 1.
    assert float(keras.losses.binary_crossentropy(labels, probabilities)) == pytest.approx(best, rel=1e-3)


def test_a_run_begun_with_other_settings_is_not_continued(finished_run, records):
    with pytest.raises(UserError, match="seed=0, not 5"):
        train(quick_training(records, finished_run, seed=5))


def test_a_finished_run_is_left_alone(finished_run, records):
    before = (Path(finished_run) / "model.keras").read_bytes()

    train(quick_training(records, finished_run))

    assert (Path(finished_run) / "model.keras").read_bytes() == before


def test_a_training_that_continues_keeps_its_precision_and_does_not_measure_again(
    records, tmp_path, monkeypatch
):
    config = quick_training(records, str(tmp_path / "run"), epochs=1, precision="auto")
    answers = iter(["mixed_bfloat16", "float32"])
    monkeypatch.setattr(recipe, "fastest", lambda *_: next(answers))
    built = []

    def build_and_die(*arguments):
        built.append(arguments[-1])
        raise Killed

    monkeypatch.setattr(fit, "build_classifier", build_and_die)
    for _ in range(2):
        with pytest.raises(Killed):
            train(config)

    assert built == ["mixed_bfloat16"] * 2
    assert next(answers) == "float32"
    assert runs.stored_environment(config.run)["precision"] == "mixed_bfloat16"
    assert runs.stored_config(config.run)["precision"] == "auto"


def killed(*_args, **_kwargs):
    raise Killed


@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_is_written_or_deleted_if_the_precision_cannot_be_measured(
    records, tmp_path, monkeypatch, overwrite
):
    run = tmp_path / "run"
    if overwrite:
        run.mkdir()
        (run / "config.json").write_text('{"target_sensitivity": 0.97}')
    before = list(tmp_path.rglob("*"))
    monkeypatch.setattr(recipe, "fastest", killed)

    with pytest.raises(Killed):
        train(quick_training(records, str(run), precision="auto", overwrite=overwrite))

    assert list(tmp_path.rglob("*")) == before


def test_nothing_is_written_for_records_that_cannot_be_trained_with(write_records, tmp_path):
    with pytest.raises(UserError, match="both"):
        train(quick_training(write_records({"train": 4}, shards=1), str(tmp_path / "run")))

    assert not (tmp_path / "run").exists()


@pytest.fixture
def records_url(records) -> str:
    """The records behind a URL, a new one for each test: `ram://` appends to a file that is copied again."""
    url = f"ram://{uuid.uuid4().hex}/records"
    tf.io.gfile.makedirs(url)
    for path in Path(records).iterdir():
        tf.io.gfile.copy(str(path), f"{url}/{path.name}")
    return url


@pytest.mark.slow
@pytest.mark.parametrize("bytes_free_at_first", [0, 1 << 30])
def test_a_training_that_continues_keeps_its_data_order_whatever_memory_is_free(
    records_url, tmp_path, monkeypatch, caplog, bytes_free_at_first
):
    order, reader_kept = ("indexed", "memory") if bytes_free_at_first else ("streamed", "streamed")
    config = quick_training(records_url, str(tmp_path / "run"), epochs=1, checkpoint_seconds=0.0)
    with monkeypatch.context() as context:
        context.setattr(reader, "free_memory_bytes", lambda: bytes_free_at_first)
        context.setattr(RunCheckpoint, "on_epoch_end", killed)
        with pytest.raises(Killed):
            train(config)
    assert runs.stored_environment(config.run)["data_order"] == order
    monkeypatch.setattr(reader, "free_memory_bytes", lambda: (1 << 30) - bytes_free_at_first)

    with caplog.at_level(logging.INFO):
        train(config)

    reasons = [line for line in caplog.messages if line.startswith("train is read")]
    assert reasons == [
        f"train is read by the {reader_kept} reader: it keeps the order that the training was begun with"
    ]


@pytest.mark.slow
def test_a_run_begun_before_its_data_order_was_stored_is_continued(records, tmp_path, monkeypatch):
    config = quick_training(records, str(tmp_path / "run"), epochs=1)
    with monkeypatch.context() as context:
        context.setattr(RunCheckpoint, "on_epoch_end", killed)
        with pytest.raises(Killed):
            train(config)
    environment = runs.stored_environment(config.run)
    del environment["data_order"]
    (Path(config.run) / "environment.json").write_text(json.dumps(environment))

    train(config)

    assert runs.is_finished(config.run)


def test_records_and_run_folder_may_be_urls(records_url, monkeypatch, capsys, caplog):
    config = quick_training(records_url, "ram://test_fit/run", epochs=2)
    with monkeypatch.context() as context:
        on_epoch_begin = RunCheckpoint.on_epoch_begin

        def killed_in_the_second_epoch(self, epoch, logs=None):
            if epoch == 1:
                raise Killed
            on_epoch_begin(self, epoch, logs)

        context.setattr(RunCheckpoint, "on_epoch_begin", killed_in_the_second_epoch)
        with pytest.raises(Killed):
            train(config)
    assert not runs.is_finished(config.run)

    with caplog.at_level(logging.INFO):
        main(config)
        main(config)

    assert f"continuing {config.run} after epoch 1, step 0" in caplog.text

    assert capsys.readouterr().out.splitlines() == [config.run, config.run]
    assert f"{config.run} is finished already" in caplog.text
    assert len(runs.load(config.run).model.get_weights())
    assert tf.io.gfile.glob(f"{config.run}/logs/train/events.*")
