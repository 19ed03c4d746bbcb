import numpy as np
import pytest

from pipeline.model import FEATURES, LOGIT, build_model
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


def test_the_seed_decides_the_weights():
    def weights(seed):
        return build_model(ModelConfig(filters=(4, 8)), image_size=32, seed=seed).get_weights()

    assert all(np.array_equal(a, b) for a, b in zip(weights(1), weights(1), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights(1), weights(2), strict=True))


def test_images_too_small_for_the_poolings_are_refused():
    with pytest.raises(ValueError, match="image_size=8"):
        build_model(ModelConfig(filters=(4,) * 6), image_size=8)
