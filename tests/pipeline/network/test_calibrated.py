import keras
import numpy as np
import pytest
from scipy import special

from pipeline.explanation.gradcam import GradCam
from pipeline.model import build_model
from pipeline.network.calibrated import with_calibration, without_calibration
from pipeline.training.averaged_model import average_models
from pipeline.training.settings import ModelConfig

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1)).astype(np.float32)


def small(seed=0):
    return build_model(ModelConfig(filters=(4, 8), dense_units=()), 32, seed=seed)


def averaged():
    return average_models([small(0), with_calibration(small(1), 3.0, 1.0)])


@pytest.mark.parametrize("build", [small, averaged])
def test_the_logits_are_rescaled(build, tmp_path):
    model = build()
    plain = special.logit(model.predict(IMAGES, verbose=0).astype(np.float64))

    with_calibration(model, 1.5, -0.3).save(tmp_path / "model.keras")
    calibrated = keras.saving.load_model(tmp_path / "model.keras")

    expected = special.expit(1.5 * plain - 0.3)
    np.testing.assert_allclose(calibrated.predict(IMAGES, verbose=0), expected, atol=1e-6)
    again = with_calibration(calibrated, 2.0, 0.0).predict(IMAGES, verbose=0)
    np.testing.assert_allclose(again, special.expit(2.0 * plain), atol=1e-6)
    without = without_calibration(calibrated).predict(IMAGES, verbose=0)
    np.testing.assert_allclose(without, special.expit(plain), atol=1e-6)
    assert calibrated.name == model.name


def test_an_average_averages_calibrated_logits():
    first, second = small(0), with_calibration(small(1), 1.5, -0.3)
    logits = [
        special.logit(member.predict(IMAGES, verbose=0).astype(np.float64)) for member in (first, second)
    ]

    probabilities = average_models([first, second]).predict(IMAGES, verbose=0)

    np.testing.assert_allclose(probabilities, special.expit(np.mean(logits, axis=0)), atol=1e-5)


def test_grad_cam_gives_calibrated_probabilities_and_the_same_heatmaps():
    model = small()
    calibrated = with_calibration(model, 1.5, -0.3)

    heatmaps = GradCam(model)(IMAGES, 0.0).heatmap
    probabilities, same_heatmaps, _ = GradCam(calibrated)(IMAGES, 0.0)

    np.testing.assert_allclose(probabilities, calibrated.predict(IMAGES, verbose=0)[:, 0], atol=1e-6)
    np.testing.assert_allclose(same_heatmaps, heatmaps, atol=1e-5)
