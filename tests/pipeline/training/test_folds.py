"""A training in folds: who is left out where, what the averaged model is, and that a kill loses nothing."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline import runs
from pipeline.explanation.explainer import Explainer
from pipeline.gradcam import gradcam
from pipeline.input.arrays import load_arrays, load_origins
from pipeline.network.calibrated import logit_of, without_calibration
from pipeline.training import fit, folds
from tests.small_run import Killed, quick_training
from tfrecords_builder import manifest
from tfrecords_builder.errors import UserError

FOLDS = 2


def train_in_folds(records: str, run: Path) -> None:
    """The network of the second fold has other filters, activation and pooling than the first."""
    config = quick_training(records, str(run), folds=FOLDS, epochs=1)
    other = dataclasses.replace(
        config.model, filters=(8, 12), activation="silu", pooling="max", channel_weights="se"
    )
    folds.train(config, others=[dataclasses.replace(config, model=other)])


@pytest.fixture(scope="module")
def trained(records, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("folds") / "run"
    train_in_folds(records, run)
    return run


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "out_of_fold.csv").open() as file:
        return list(csv.DictReader(file))


def members(run: Path):
    return [runs.load(str(run / "folds" / str(fold))).model for fold in range(1, FOLDS + 1)]


def logits(model, images) -> np.ndarray:
    probabilities = model.predict(images, verbose=0)[:, 0].astype(np.float64)
    return np.log(probabilities / (1 - probabilities))


def test_every_image_is_predicted_by_the_model_that_did_not_see_it(trained, records):
    images, sources = [], []
    for split in ("train", "val"):
        images.append(np.asarray(load_arrays(records, split)[0]))
        sources += [origin["source"] for origin in load_origins(records, split)]
    image_of = dict(zip(sources, np.concatenate(images), strict=True))
    table = rows(trained)
    assert sorted(row["source"] for row in table) == sorted(sources)
    for fold, model in enumerate(members(trained), start=1):
        of_fold = [row for row in table if int(row["fold"]) == fold]
        batch = np.stack([image_of[row["source"]] for row in of_fold])
        expected = model.predict(batch, verbose=0)[:, 0]
        np.testing.assert_allclose([float(row["probability"]) for row in of_fold], expected, atol=1e-5)
        shards = manifest.load(str(trained / "folds" / str(fold))).splits["train"]
        assert shards.records == len(sources) - len(of_fold)


def test_the_folds_take_the_settings_in_turn(trained, records):
    configs = [json.loads((trained / f"folds/{fold}/config.json").read_text()) for fold in (1, 2)]

    assert [config["model"]["filters"] for config in configs] == [
        list(quick_training(records, "run").model.filters),
        [8, 12],
    ]
    assert [config["seed"] for config in configs] == [0, 1]
    three = quick_training(records, "run", folds=3)
    other = dataclasses.replace(three, batch_size=7)
    assert [settings.batch_size for settings in folds.of_folds(three, [other])] == [
        three.batch_size,
        7,
        three.batch_size,
    ]


def test_the_model_is_the_mean_of_the_logits(trained, images):
    averaged = without_calibration(runs.load(str(trained)).model)

    expected = np.mean([logits(model, images) for model in members(trained)], axis=0)

    np.testing.assert_allclose(logits(averaged, images), expected, atol=1e-4)


def test_its_heat_is_the_mean_of_the_heat_of_its_members(trained, images):
    run = runs.load(str(trained))
    averaged = Explainer(run.model, run.reference)(tf.constant(images), 0.0)
    batch = tf.cast(images, tf.float32)
    raw = []
    for model in members(trained):
        import keras

        inner = keras.Model(model.inputs[0], [model.get_layer("features").output, model.outputs[0]])
        head = keras.Model(model.get_layer("features").output, logit_of(model))
        features = inner(batch)[0]
        with tf.GradientTape() as tape:
            tape.watch(features)
            logit = head(features)
        weights = tf.reduce_mean(tape.gradient(logit, features), axis=(1, 2), keepdims=True)
        raw.append(tf.reduce_sum(weights * features, axis=-1, keepdims=True))
    heat = tf.image.resize(tf.nn.relu(tf.add_n(raw)), images.shape[1:3])[..., 0]
    expected = heat / (tf.reduce_max(heat, axis=(1, 2), keepdims=True) + 1e-12)
    np.testing.assert_allclose(averaged.heatmap, expected, atol=1e-4)
    assert gradcam(run.model, images).shape == images.shape[:3]


def test_its_lungs_are_the_mean_of_theirs(trained, images):
    run = runs.load(str(trained))
    lungs = Explainer(run.model, run.reference)(tf.constant(images), 0.5).assessment.lungs
    of_members = [
        Explainer(model, None)(tf.constant(images), 0.5).assessment.lungs for model in members(trained)
    ]
    np.testing.assert_allclose(lungs, np.mean(of_members, axis=0), atol=1e-5)


def test_the_run_folder_says_what_is_in_it(trained):
    stored = json.loads((trained / "operating_point.json").read_text())
    assert stored["chosen_on"].startswith("out-of-fold predictions")
    assert stored["labels_left_out"] == sum(float(row["suspicion"]) > 0 for row in rows(trained))
    assert "<title>Labels that may be wrong" in (trained / "labels.html").read_text()
    assert not (trained / "folds" / "records").exists()
    runs.refuse_foreign_folder(str(trained), overwrite=True)  # it knows all its files


def test_the_same_command_trains_nothing_more(trained, records, caplog):
    caplog.set_level("INFO")
    before = (trained / "model.keras").read_bytes()

    train_in_folds(records, trained)

    assert "is finished already" in caplog.text
    assert (trained / "model.keras").read_bytes() == before


@pytest.mark.slow
def test_killed_in_the_second_fold_it_goes_on_there(trained, records, tmp_path, monkeypatch):
    train = fit.train

    def killed_in_the_second(of_fold, precision):
        if of_fold.run.endswith("/2"):
            raise Killed
        train(of_fold, precision)

    with monkeypatch.context() as context:
        context.setattr(fit, "train", killed_in_the_second)
        with pytest.raises(Killed):
            train_in_folds(records, tmp_path / "run")
    first = (tmp_path / "run/folds/1/model.keras").stat().st_mtime_ns
    train_in_folds(records, tmp_path / "run")

    assert (tmp_path / "run/folds/1/model.keras").stat().st_mtime_ns == first
    assert rows(tmp_path / "run") == rows(trained)


def test_too_many_folds_are_refused_before_anything_is_written(records, tmp_path):
    with pytest.raises(UserError, match="--folds 5000 needs as many patients"):
        folds.train(quick_training(records, str(tmp_path / "run"), folds=5000))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_records_and_run_behind_a_url(records):
    copied = "ram://folds/records"
    tf.io.gfile.makedirs(copied)
    for path in Path(records).iterdir():
        tf.io.gfile.copy(str(path), f"{copied}/{path.name}")

    folds.train(quick_training(copied, "ram://folds/run", folds=2, epochs=1))

    assert runs.is_finished("ram://folds/run")
