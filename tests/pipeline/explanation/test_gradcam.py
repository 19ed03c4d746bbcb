import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pipeline import runs
from pipeline.explanation.gradcam import GradCam
from pipeline.gradcam import gradcam
from pipeline.model import build_model
from pipeline.network.names import FEATURES, LOGIT
from pipeline.runs import Run
from pipeline.training.settings import ModelConfig


@pytest.fixture(scope="module", params=["none", "lungs"])
def model(request):
    config = ModelConfig(filters=(4, 8), dense_units=(6,), attention=request.param)
    return build_model(config, image_size=32, seed=3)


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

    heatmaps = explain(tf.constant(images), threshold).heatmap

    for image, heatmap in zip(images, heatmaps.numpy(), strict=True):
        np.testing.assert_allclose(heatmap, by_hand(model, image, sign), atol=2e-3)


def test_hirescam_agrees_behind_average_pooling(images):
    model = build_model(
        ModelConfig(filters=(4, 8), dense_units=(6,), attention="none"), image_size=32, seed=3
    )

    heatmaps = GradCam(model)(tf.constant(images), 0.0).heatmap
    same = GradCam(model, "hirescam")(tf.constant(images), 0.0).heatmap

    np.testing.assert_allclose(same, heatmaps, atol=1e-5)


def test_hirescam_weighs_each_feature_where_it_is(images):
    """Behind max pooling and one dense layer, only the largest value of each channel counts."""
    config = ModelConfig(filters=(4, 8), dense_units=(), attention="none", pooling="max")
    model = build_model(config, image_size=32, seed=3)
    features = tf.keras.Model(model.inputs, model.get_layer(FEATURES).output)(images).numpy()
    kernel = model.get_layer(LOGIT).get_weights()[0][:, 0]

    heatmaps = GradCam(model, "hirescam")(tf.constant(images), 0.0).heatmap

    for image_features, heatmap in zip(features, heatmaps.numpy(), strict=True):
        counts = image_features == image_features.max(axis=(0, 1))
        heat = np.maximum((np.where(counts, image_features, 0) / counts.sum(axis=(0, 1)) * kernel).sum(-1), 0)
        heat = tf.image.resize(heat[..., None], (32, 32)).numpy()[..., 0]
        np.testing.assert_allclose(heatmap, heat / max(heat.max(), 1e-12), atol=1e-4)


def test_the_evidence_tells_a_weak_map_from_a_strong_one(images):
    """Behind average pooling and one dense layer, all heat together is what moves the logit."""
    config = ModelConfig(filters=(4, 8), dense_units=(), attention="none")
    model = build_model(config, image_size=32, seed=3)
    strong = build_model(config, image_size=32, seed=3)
    strong.set_weights(model.get_weights())
    kernel, bias = strong.get_layer(LOGIT).get_weights()
    strong.get_layer(LOGIT).set_weights([3 * kernel, bias])
    features = tf.keras.Model(model.inputs, model.get_layer(FEATURES).output)(images).numpy()
    pixelwise = (features * kernel[:, 0]).sum(axis=-1)

    weak, same = GradCam(model)(tf.constant(images), 0.0), GradCam(strong)(tf.constant(images), 0.0)

    expected = np.maximum(pixelwise, 0).sum(axis=(1, 2)) / pixelwise[0].size
    np.testing.assert_allclose(weak.evidence, expected, rtol=1e-4)
    np.testing.assert_allclose(same.evidence, 3 * expected, rtol=1e-4)
    np.testing.assert_allclose(same.heatmap, weak.heatmap, atol=1e-5)


def test_the_probability_is_the_models_own(model, images):
    probability = GradCam(model)(tf.constant(images), threshold=0.5).probability

    np.testing.assert_allclose(probability, model(images)[:, 0], atol=1e-6)


@pytest.fixture(scope="module")
def run(finished_run) -> Run:
    return runs.load(finished_run)


def with_threshold(run: Run, threshold: float) -> Run:
    return dataclasses.replace(
        run, operating_point=dataclasses.replace(run.operating_point, threshold=threshold)
    )


@pytest.mark.parametrize("label", ["NORMAL", "PNEUMONIA"])
def test_the_label_that_the_run_gives_is_explained(run, images, label):
    probabilities = np.sort(run.model(images)[:, 0])
    threshold = float(np.nextafter(probabilities[-1], 1) if label == "NORMAL" else probabilities[0])
    normal, pneumonia = (GradCam(run.model)(tf.constant(images), t).heatmap.numpy() for t in (1.1, 0.0))

    heatmaps = gradcam(with_threshold(run, threshold), images).numpy()

    np.testing.assert_array_equal(heatmaps, normal if label == "NORMAL" else pneumonia)
    assert not np.array_equal(normal, pneumonia)


def test_the_model_of_a_run_knows_its_operating_point(run, images):
    expected = GradCam(run.model)(tf.constant(images), run.operating_point.threshold).heatmap

    np.testing.assert_array_equal(gradcam(run, images), expected)
    np.testing.assert_array_equal(gradcam(run.model, images), expected)


def test_a_threshold_that_is_given_decides(run, images):
    for threshold in (0.0, 1.1):
        expected = GradCam(run.model)(tf.constant(images), threshold).heatmap
        for model in (run, run.model):
            np.testing.assert_array_equal(gradcam(model, images, threshold=threshold), expected)


def test_a_model_of_no_run_needs_a_threshold(model, images):
    with pytest.raises(ValueError, match=r"threshold=\.\.\., or what pipeline\.runs\.load returns"):
        gradcam(model, images)


def test_images_without_a_batch(run, images):
    with pytest.raises(ValueError, match=r"\(batch, side, side, 1\)\. Received: \(32, 32\)"):
        gradcam(run, images[0, ..., 0])


def test_heat_lies_between_0_and_1_even_where_nothing_speaks_for_the_label(model):
    blank = np.zeros((2, 32, 32, 1), np.uint8)

    heatmaps = gradcam(model, blank, threshold=0.5).numpy()

    assert np.isfinite(heatmaps).all()
    assert heatmaps.min() >= 0
    assert heatmaps.max() <= 1
