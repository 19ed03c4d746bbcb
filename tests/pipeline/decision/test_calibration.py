import numpy as np
import pytest
from scipy import special
from sklearn.calibration import _SigmoidCalibration
from sklearn.metrics import log_loss

from pipeline.decision.calibration import Calibration, fit


def drawn(seed, slope=2.0, intercept=-0.5, images=400):
    generator = np.random.default_rng(seed)
    logits = np.round(generator.normal(0, 2, images), 1)
    labels = generator.random(images) < special.expit(slope * logits + intercept)
    return labels.astype(np.float32), special.expit(logits)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_platts_fit(seed):
    labels, probabilities = drawn(seed)
    independent = _SigmoidCalibration().fit(special.logit(probabilities), labels)

    fitted = fit(labels, probabilities, "val")

    assert (fitted.slope, fitted.intercept) == pytest.approx((-independent.a_, -independent.b_), abs=1e-4)
    np.testing.assert_allclose(
        fitted.apply(probabilities), independent.predict(special.logit(probabilities)), atol=1e-4
    )


def test_it_finds_the_slope_and_intercept_that_made_the_labels():
    fitted = fit(*drawn(0, images=100_000), "val")

    assert fitted.slope == pytest.approx(2.0, abs=0.05)
    assert fitted.intercept == pytest.approx(-0.5, abs=0.05)


def test_the_log_losses_are_those_of_the_labels():
    labels, probabilities = drawn(1)

    fitted = fit(labels, probabilities, "val")

    assert fitted.log_loss_before == pytest.approx(log_loss(labels, probabilities))
    assert fitted.log_loss_after == pytest.approx(log_loss(labels, fitted.apply(probabilities)))
    assert fitted.log_loss_after < fitted.log_loss_before


@pytest.mark.parametrize("probabilities", [[0.1, 0.2, 0.8, 0.9], [0.0, 0.0, 1.0, 1.0]])
def test_it_is_finite_where_the_probabilities_separate_the_classes(probabilities):
    fitted = fit(np.array([0, 0, 1, 1]), np.array(probabilities, np.float32), "val")

    assert np.isfinite([fitted.slope, fitted.intercept]).all()
    assert (np.diff(fitted.apply(np.array(probabilities, np.float32))) >= 0).all()


def test_what_was_applied_can_be_undone():
    fitted = Calibration(1.7, -0.4, "val", 10, 0.5, 0.2, 0.1)
    probabilities = np.linspace(0.001, 0.999, 50)

    np.testing.assert_allclose(fitted.undo(fitted.apply(probabilities)), probabilities, rtol=1e-9)
    assert Calibration.from_json(fitted.to_json()) == fitted


@pytest.mark.parametrize(
    ("labels", "message"),
    [([1, 1, 0, 0], "not higher for PNEUMONIA than for NORMAL"), ([1, 1, 1, 1], "both classes are needed")],
)
def test_what_cannot_be_calibrated_is_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        fit(np.array(labels), np.array([0.1, 0.2, 0.8, 0.9]), "val")


def test_balanced_it_does_not_depend_on_the_share_of_pneumonia():
    labels, probabilities = drawn(2, images=100_000)
    fewer = (labels == 1) | (np.arange(len(labels)) % 5 == 0)

    every = fit(labels, probabilities, "val", balanced=True)
    some = fit(labels[fewer], probabilities[fewer], "val", balanced=True)

    assert (some.slope, some.intercept) == pytest.approx((every.slope, every.intercept), abs=0.1)
    assert some.prevalence == pytest.approx(0.5)
    assert fit(labels[fewer], probabilities[fewer], "val").prevalence == pytest.approx(labels[fewer].mean())
