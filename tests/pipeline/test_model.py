import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from pipeline.model import block_outputs, build_model, has_lung_attention
from pipeline.network.names import CONVOLVED, FEATURES, LOGIT, LUNG_LOGITS, LUNGS
from pipeline.training.settings import ModelConfig


def test_the_network_is_what_its_configuration_says():
    config = ModelConfig(filters=(4, 6, 8), convolutions=2, dense_units=(5,))
    model = build_model(config, image_size=32)

    kernels = [layer.kernel.shape for layer in model.layers if layer.name.startswith("conv")]
    assert kernels == [(3, 3, *pair) for pair in ((1, 4), (4, 4), (4, 6), (6, 6), (6, 8), (8, 8))]
    assert model.get_layer(FEATURES).output.shape == (None, 8, 8, 8)
    assert model.get_layer(LOGIT).output.shape == (None, 1)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_weights_and_probabilities_are_float32_in_every_precision(precision, images):
    model = build_model(ModelConfig(filters=(4, 8)), image_size=32, precision=precision)

    probabilities = model(images)

    assert probabilities.dtype == "float32"
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert model.get_layer("conv0_0").compute_dtype == precision.removeprefix("mixed_")
    assert ((np.asarray(probabilities) > 0) & (np.asarray(probabilities) < 1)).all()


def test_a_standardized_model_ignores_brightness_and_contrast(images):
    model = build_model(ModelConfig(filters=(4, 8)), image_size=32)

    np.testing.assert_allclose(model(images), model(images * 0.5 + 40.0), atol=1e-4)


@pytest.mark.parametrize(("stem_stride", "downsampling"), [(2, "max"), (1, "strided")])
def test_no_convolution_of_one_pixel_has_a_stride(stem_stride, downsampling):
    """oneDNN writes past the end of its memory in them."""
    config = ModelConfig(
        filters=(4, 6, 6), block="residual", stem_stride=stem_stride, downsampling=downsampling
    )
    model = build_model(config, 32)

    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    strides = {layer.name: layer.strides for layer in convolutions if layer.kernel_size == (1, 1)}
    assert strides
    assert set(strides.values()) == {(1, 1)}


def test_names_of_layers_are_none_that_keras_gives_itself():
    """Keras numbers its own names from the beginning in each process: max, max_1, ..."""
    keras.backend.clear_session()
    config = ModelConfig(filters=(4, 6), channel_weights="cbam", pooling="both", attention="lungs")

    model = build_model(config, 32)

    assert len({operation.name for operation in model.operations}) == len(model.operations)


def test_the_seed_decides_the_weights():
    def weights(seed):
        return build_model(ModelConfig(filters=(4, 8)), image_size=32, seed=seed).get_weights()

    assert all(np.array_equal(a, b) for a, b in zip(weights(1), weights(1), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights(1), weights(2), strict=True))


def test_images_too_small_for_the_poolings_are_refused():
    with pytest.raises(ValueError, match="image_size=8"):
        build_model(ModelConfig(filters=(4,) * 6), image_size=8)


WITH_ATTENTION = ModelConfig(filters=(4, 8), attention="lungs")


def test_the_features_are_averaged_over_the_lungs(images):
    model = build_model(WITH_ATTENTION, image_size=32)
    names = (CONVOLVED, LUNGS, LUNG_LOGITS, FEATURES)
    outputs = keras.Model(model.inputs[0], [model.get_layer(name).output for name in names])(images)
    convolved, lungs, logits, features = (np.asarray(output) for output in outputs)

    assert lungs.shape == (12, 16, 16, 1)
    np.testing.assert_allclose(lungs, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    expected = (convolved * lungs).sum((1, 2)) / lungs.sum((1, 2))
    np.testing.assert_allclose(features.mean((1, 2)), expected, rtol=1e-4, atol=1e-6)


def test_where_no_lung_is_found_the_features_vanish(images):
    model = build_model(WITH_ATTENTION, image_size=32)
    layer = model.get_layer(LUNG_LOGITS)
    layer.set_weights(
        [np.zeros_like(weights) - (weights.ndim == 1) * 30.0 for weights in layer.get_weights()]
    )

    features = np.asarray(keras.Model(model.inputs[0], model.get_layer(FEATURES).output)(images))

    assert np.isfinite(features).all()
    assert np.abs(features).max() < 1e-6


@pytest.mark.parametrize("attention", ["none", "lungs"])
def test_blocks_come_before_pooling_and_attention(attention):
    model = build_model(ModelConfig(filters=(4, 6, 8), attention=attention), image_size=32)

    assert has_lung_attention(model) == (attention == "lungs")
    shapes = [tuple(output.shape) for output in block_outputs(model)]
    assert shapes == [(None, 32, 32, 4), (None, 16, 16, 6), (None, 8, 8, 8)]


@pytest.mark.slow
def test_a_model_with_attention_is_loaded_without_this_project(tmp_path, images):
    model = build_model(WITH_ATTENTION, image_size=32)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    script = (
        "import sys, keras, numpy as np\n"
        "print(float(keras.saving.load_model(sys.argv[1])(np.load(sys.argv[2]))[0, 0]))"
    )

    printed = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "model.keras", tmp_path / "images.npy"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    ).stdout

    assert float(printed) == pytest.approx(float(model(images)[0, 0]), abs=1e-5)
