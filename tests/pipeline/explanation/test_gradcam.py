import numpy as np
import pytest
import tensorflow as tf

from pipeline.explanation import GradCam
from pipeline.gradcam import gradcam
from pipeline.model import FEATURES, LOGIT, build_model
from pipeline.training.settings import ModelConfig


@pytest.fixture(scope="module")
def model():
    return build_model(ModelConfig(filters=(4, 8), dense_units=(6,)), image_size=32, seed=3)


def by_hand(model, image, sign) -> np.ndarray:
    """Grad-CAM with a numerical gradient of the logit by each feature map's mean, in numpy."""
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    features = tf.keras.Model(model.inputs, model.get_layer(FEATURES).output)(image[None]).numpy()[0]

    def logit(maps):
        hidden = maps.mean((0, 1)) @ weights["dense0"][0] + weights["dense0"][1]
        return float((np.maximum(hidden, 0) @ weights[LOGIT][0] + weights[LOGIT][1])[0])

    step = 1e-3
    area = features.shape[0] * features.shape[1]
    gradient = []
    for channel in range(features.shape[-1]):
        raised, lowered = features.astype(np.float64), features.astype(np.float64)
        raised[..., channel] += step
        lowered[..., channel] -= step
        gradient.append((logit(raised) - logit(lowered)) / (2 * step) / area)
    heat = np.maximum((features * (sign * np.array(gradient))).sum(-1), 0)
    heat = tf.image.resize(heat[..., None], (32, 32)).numpy()[..., 0]
    return heat / heat.max() if heat.max() else heat


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize(("threshold", "sign"), [(0.0, 1), (1.1, -1)])
def test_it_is_the_gradient_weighted_sum_of_the_features(model, images, in_graph, threshold, sign):
    explain = GradCam(model)
    explain = tf.function(explain) if in_graph else explain

    _, heatmaps = explain(tf.constant(images), threshold)

    for image, heatmap in zip(images, heatmaps.numpy(), strict=True):
        np.testing.assert_allclose(heatmap, by_hand(model, image, sign), atol=2e-3)


def test_the_probability_is_the_models_own(model, images):
    probability, _ = GradCam(model)(tf.constant(images))

    np.testing.assert_allclose(probability, model(images)[:, 0], atol=1e-6)


def test_heat_lies_between_0_and_1_even_where_nothing_speaks_for_the_label(model):
    blank = np.zeros((2, 32, 32, 1), np.uint8)

    heatmaps = gradcam(model, blank).numpy()

    assert np.isfinite(heatmaps).all()
    assert heatmaps.min() >= 0
    assert heatmaps.max() <= 1
