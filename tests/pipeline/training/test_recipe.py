import dataclasses

import keras
import numpy as np
import pytest

from pipeline.augmentation import AcquisitionAugmentation
from pipeline.model import build_model
from pipeline.network.names import LUNGS
from pipeline.training import recipe
from pipeline.training.recipe import (
    add_augmentation,
    check_trainable,
    class_weights,
    compile_model,
    resolve_attention,
    resolve_precision,
    training_data,
    validation_data,
)
from pipeline.training.settings import ModelConfig
from tests.small_run import quick_training
from tfrecords_builder import manifest
from tfrecords_builder.errors import UserError


@pytest.mark.parametrize("counts", [{"train": 4}, {"train": 4, "val": 1}])
def test_a_split_without_both_classes_is_refused(write_records, counts):
    records = write_records(counts, shards=1)

    with pytest.raises(UserError, match="both"):
        check_trainable(quick_training(records, "unused"), manifest.load(records))


def test_images_too_small_for_the_network_are_refused(records):
    config = quick_training(records, "unused", model=ModelConfig(filters=(2,) * 7))

    with pytest.raises(UserError, match=r"7 blocks .* at least 64 pixels a side, but those .* have 32"):
        check_trainable(config, manifest.load(records))


def test_class_weights_make_both_classes_count_the_same(write_records):
    records = write_records({"train": 31, "val": 4}, shards=1)
    content = manifest.load(records)
    counts = content.splits["train"].classes

    weights = class_weights(quick_training(records, "unused"), content)

    assert weights[0] * counts["NORMAL"] == pytest.approx(weights[1] * counts["PNEUMONIA"])
    assert sum(weights[k] * n for k, n in enumerate(counts.values())) == pytest.approx(sum(counts.values()))


def test_validation_is_weighted_as_the_training_is(write_records):
    records = write_records({"train": 30, "val": 7})
    content = manifest.load(records)
    config = quick_training(records, "unused")

    batches = list(validation_data(config, content))

    for _, labels, weights in batches:
        expected = [class_weights(config, content)[int(label)] for label in labels]
        np.testing.assert_allclose(weights, expected)
    assert sum(len(labels) for _, labels, _ in batches) == 7


def test_without_class_weights_nothing_is_weighted(records):
    config, content = quick_training(records, "unused", class_weights=False), manifest.load(records)

    assert class_weights(config, content) is None
    assert len(validation_data(config, content).element_spec) == 2


def test_the_learning_rate_rises_and_falls(records):
    config = quick_training(records, "unused", warmup=0.2)
    model = add_augmentation(config, build_model(config.model, 32))
    compile_model(model, config, total_steps=100, precision="float32")
    rate = model.optimizer._learning_rate

    values = [float(rate(step)) for step in (0, 10, 20, 60, 100)]

    assert values == pytest.approx([0, 0.005, 0.01, 0.005, 0], abs=2e-4)


@pytest.mark.parametrize(("total_steps", "momentum"), [(5, 0.0), (40, 0.75), (1000, 0.8)])
def test_a_short_training_averages_over_fewer_steps(records, total_steps, momentum):
    config = quick_training(records, "unused", ema=0.8)
    model = build_model(config.model, 32)

    compile_model(model, config, total_steps, "float32")

    assert model.optimizer.ema_momentum == pytest.approx(momentum)


def test_a_precision_that_was_asked_for_is_not_measured(monkeypatch):
    monkeypatch.setattr(recipe, "fastest", lambda *_: pytest.fail("was measured"))

    asked = quick_training("unused", "unused", precision="mixed_float16")

    assert resolve_precision(asked, image_size=32) == "mixed_float16"


def test_the_precision_of_the_augmented_model_is_measured(monkeypatch):
    built = []

    def fastest(build, batch_shape):
        built.append((build("mixed_bfloat16"), batch_shape))
        return "mixed_bfloat16"

    monkeypatch.setattr(recipe, "fastest", fastest)

    config = quick_training("unused", "unused", precision="auto", batch_size=7)

    assert resolve_precision(config, image_size=32) == "mixed_bfloat16"
    [(model, batch_shape)] = built
    assert isinstance(model.layers[1], AcquisitionAugmentation)
    assert model.layers[2].name == "pneumonia_classifier"
    assert batch_shape == (7, 32, 32, 1)


@pytest.mark.parametrize(("lungs", "expected"), [(True, "lungs"), (False, "none")])
def test_attention_is_lungs_where_the_records_have_masks(write_records, lungs, expected):
    records = write_records({"train": 8, "val": 4}, shards=1, lungs=lungs)
    config = quick_training(records, "unused")

    resolved = resolve_attention(config, manifest.load(records))

    assert resolved.model.attention == expected
    assert dataclasses.replace(resolved.model, attention="auto") == config.model


def test_attention_that_was_asked_for_stays(records):
    config = quick_training(records, "unused", model=ModelConfig(filters=(4, 8), attention="none"))

    assert resolve_attention(config, manifest.load(records)) == config


def test_lung_attention_without_masks_is_refused(write_records):
    records = write_records({"train": 8, "val": 4}, shards=1, lungs=False)
    config = quick_training(records, "unused", model=ModelConfig(filters=(4, 8), attention="lungs"))

    with pytest.raises(UserError, match=r"--model\.attention lungs needs lung masks"):
        check_trainable(config, manifest.load(records))


def test_the_attention_learns_where_the_lungs_are(records):
    config = quick_training(
        records, "unused", model=ModelConfig(filters=(4, 8), attention="lungs"), lung_loss=2.0
    )
    classifier = build_model(config.model, 32)
    model = add_augmentation(config, classifier)
    compile_model(model, config, total_steps=60, precision="float32")

    model.fit(training_data(config), steps_per_epoch=60, verbose=0)

    ((images, lungs), _) = next(iter(training_data(config)))
    attention = keras.Model(classifier.inputs[0], classifier.get_layer(LUNGS).output)
    found, inside = np.asarray(attention(images)), np.asarray(lungs)[:, ::2, ::2] > 0
    assert found[inside].mean() > found[~inside].mean() + 0.4


def test_the_validation_loss_is_that_of_the_classification_alone(records):
    content = manifest.load(records)
    config = quick_training(records, "unused", model=ModelConfig(filters=(4, 8), attention="lungs"))
    losses = []
    for lung_loss in (0.0, 5.0):
        changed = dataclasses.replace(config, lung_loss=lung_loss)
        model = add_augmentation(changed, build_model(config.model, 32))
        compile_model(model, changed, total_steps=10, precision="float32")
        losses.append(model.evaluate(validation_data(changed, content), verbose=0)[0])

    assert losses[0] == pytest.approx(losses[1])
