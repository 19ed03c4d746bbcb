import math

import numpy as np
import pytest
from scipy import special
from sklearn.linear_model import LogisticRegression

from pipeline.evaluation import calibration


def drawn(slope: float, shift: float, count: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels that occur with the probability `slope * logit + shift` says, and the logits."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, count)
    return (generator.uniform(size=count) < special.expit(slope * logits + shift)).astype(float), logits


@pytest.mark.parametrize("seed", range(5))
def test_the_regression_is_that_of_scikit_learn(seed):
    labels, logits = drawn(0.6, -0.4, seed=seed)
    times = np.random.default_rng(seed).integers(0, 3, len(labels)).astype(float)
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    reference.fit(logits[:, None], labels, sample_weight=times)

    ours = calibration.regress(labels, logits, times)

    assert ours == pytest.approx((reference.intercept_[0], reference.coef_[0, 0]), abs=1e-5)


def test_the_intercept_makes_the_mean_probability_the_frequency():
    labels, logits = drawn(1, -1)

    shift = calibration.intercept(labels, logits, np.ones_like(logits))

    assert special.expit(logits + shift).mean() == pytest.approx(labels.mean(), abs=1e-9)
    assert shift == pytest.approx(-1, abs=0.3)


@pytest.mark.parametrize(("slope", "shift"), [(1, 0), (0.5, 0), (1, -1)])
def test_what_was_changed_is_found(make_predictions, slope, shift):
    labels, logits = drawn(slope, shift)

    figures = calibration.measure(make_predictions(labels, special.expit(logits)))

    assert figures.slope.low < slope < figures.slope.high
    assert figures.slope.value == pytest.approx(slope, abs=0.2)
    if (slope, shift) == (1, 0):
        assert figures.intercept.low < 0 < figures.intercept.high
    else:
        assert figures.expected_error.value > 0.05


def test_the_expected_error_by_hand(make_predictions):
    # Two bins: 0.25 twice with one PNEUMONIA, and 0.85 twice with two.
    figures = calibration.measure(make_predictions([0, 1, 1, 1], [0.25, 0.25, 0.85, 0.85]))
    assert figures.expected_error.value == pytest.approx((abs(0.5 - 1) + abs(1.7 - 2)) / 4)


def test_classes_that_do_not_overlap_have_no_slope(make_predictions):
    figures = calibration.measure(make_predictions([0, 0, 1, 1], [0, 0.1, 0.9, 1]))

    assert math.isnan(figures.slope.value)
    assert figures.intercept.value == pytest.approx(0, abs=1e-6)


def test_probabilities_of_zero_and_one_have_finite_logits():
    assert np.isfinite(calibration.logit(np.array([0, 1], np.float32))).all()
