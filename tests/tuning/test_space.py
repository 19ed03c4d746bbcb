"""The search space: every point of it is a network that trains, explains itself and is exported."""

import dataclasses

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

from pipeline.explanation.explainer import Explainer
from pipeline.model import build_model, has_lung_attention
from pipeline.training.settings import ModelConfig, TrainConfig
from tuning import space
from tuning.space import PRESETS, default_values, in_words, parse_fixed, training_config

BASE = TrainConfig("records", "run", model=ModelConfig(attention="lungs"))


def hyperparameters(preset, base, fixed):
    choices = keras_tuner.HyperParameters()
    space.register(choices, preset, base, fixed)
    return choices


def drawn(preset, seed):
    choices = hyperparameters(preset, BASE, {})
    return {hp.name: hp.random_sample(1000 * seed + number) for number, hp in enumerate(choices.space)}


@pytest.mark.parametrize(
    "seed", [*range(12), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(12, 30))]
)
def test_a_random_point_is_a_network_that_explains_itself(seed):
    config = training_config(BASE, drawn("wide", seed)).model
    attention = "lungs" if seed % 2 else "none"
    config = dataclasses.replace(
        config, filters=tuple(max(2, f // 8) for f in config.filters), attention=attention
    )
    model = build_model(config, 64, seed=seed)
    images = np.random.default_rng(seed).integers(0, 256, (2, 64, 64, 1), np.uint8)

    explained = Explainer(model, None)(tf.constant(images), 0.5)

    np.testing.assert_allclose(explained.probability, model.predict(images, verbose=0)[:, 0], atol=1e-5)
    assert explained.heatmap.shape == (2, 64, 64)
    assert np.isfinite(explained.heatmap).all()
    assert has_lung_attention(model) == (attention == "lungs")
    copy = keras.Model.from_config(model.get_config())  # from its configuration alone
    assert [weights.shape for weights in copy.weights] == [weights.shape for weights in model.weights]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_defaults_are_the_settings_that_are_given(preset):
    choices = hyperparameters(preset, BASE, {})
    assert training_config(BASE, {hp.name: hp.default for hp in choices.space}) == BASE


def test_settings_outside_the_space_are_its_default_nevertheless():
    base = dataclasses.replace(BASE, learning_rate=0.02, model=ModelConfig(dropout=0.1))
    choices = hyperparameters("default", base, {})
    assert training_config(base, {hp.name: hp.default for hp in choices.space}) == base


def test_the_spaces_grow():
    assert PRESETS["small"].keys() < PRESETS["default"].keys() < PRESETS["wide"].keys()
    assert PRESETS["wide"].keys() == default_values(BASE).keys()


def test_what_is_fixed_is_not_searched():
    fixed = parse_fixed(["model.blocks=4", "learning_rate=1e-3", "model.block=residual"])
    names = {hp.name for hp in hyperparameters("default", BASE, fixed).space}
    assert not names & fixed.keys()
    config = training_config(BASE, {**fixed, "model.first_filters": 8})
    assert (config.learning_rate, config.model.block, len(config.model.filters)) == (1e-3, "residual", 4)


@pytest.mark.parametrize("wrong", ["model.blocks", "no.such=1", "model.blocks=many", "=3"])
def test_a_wrong_assignment_is_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        parse_fixed([wrong])


def test_the_strength_of_a_group_multiplies_all_its_changes():
    config = training_config(
        BASE, {"augmentation.geometry": 0.5, "augmentation.intensity": 10.0}
    ).augmentation
    assert config.rotation == BASE.augmentation.rotation / 2
    assert config.anisotropy == BASE.augmentation.anisotropy
    assert config.contrast == 0.9  # it must stay below 1


def test_a_network_without_attention_has_no_lung_loss_to_search():
    base = dataclasses.replace(BASE, model=ModelConfig(attention="none"))
    assert "lung_loss" not in {hp.name for hp in hyperparameters("wide", base, {}).space}
    assert "lung_loss" in {hp.name for hp in hyperparameters("wide", BASE, {}).space}


def test_dense_units_of_zero_are_no_layer():
    assert training_config(BASE, {"model.dense_units": 0}).model.dense_units == ()
    assert training_config(BASE, {"model.dense_units": 32}).model.dense_units == (32,)


def test_every_parameter_is_one_of_the_kinds():
    assert {type(parameter) for parameter in PRESETS["wide"].values()} == {space.Choice, space.LogRange}


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            ModelConfig(filters=(16, 24, 36), convolutions=2, dense_units=(64,), dropout=0.2),
            "3 plain blocks of 16, 24, 36 filters, 2 convolutions each, dense layer of 64 units, dropout 0.2",
        ),
        (
            ModelConfig(filters=(8, 16, 32), convolutions=1, dense_units=(), dropout=0.0, block="residual"),
            "3 residual blocks of 8, 16, 32 filters, 1 convolution each, no dense layer, dropout 0",
        ),
    ],
)
def test_the_log_says_in_words_what_a_trial_tries(model, words):
    assert in_words(model) == words
