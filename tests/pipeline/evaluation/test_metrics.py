import math

import numpy as np
import pytest
from sklearn import metrics as reference

from pipeline.evaluation import metrics


@pytest.fixture
def predictions():
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 2, 120).astype(np.float32)
    return labels, np.clip(0.4 * labels + generator.uniform(0, 0.6, 120), 0, 1).astype(np.float32)


def test_rates_are_those_of_scikit_learn(predictions):
    labels, probabilities = predictions
    found = probabilities >= 0.45

    ours = metrics.at_threshold(labels, probabilities, 0.45)

    assert ours.accuracy.value == pytest.approx(reference.accuracy_score(labels, found))
    assert ours.sensitivity.value == pytest.approx(reference.recall_score(labels, found))
    assert ours.specificity.value == pytest.approx(reference.recall_score(labels, found, pos_label=0))
    assert ours.precision.value == pytest.approx(reference.precision_score(labels, found))
    assert ours.negative_predictive_value.value == pytest.approx(
        reference.precision_score(labels, found, pos_label=0)
    )
    assert ours.f1 == pytest.approx(reference.f1_score(labels, found))


def test_wilson_interval_by_hand():
    labels = np.ones(10, np.float32)
    probabilities = np.array([0.9] * 8 + [0.1] * 2, np.float32)

    sensitivity = metrics.at_threshold(labels, probabilities, 0.5).sensitivity

    # Wilson, 8 of 10, z = 1.95996: (0.8 + z2/20 -+ z sqrt(0.16/10 + z2/400)) / (1 + z2/10)
    z = 1.959964
    centre, half = 0.8 + z * z / 20, z * math.sqrt(0.16 / 10 + z * z / 400)
    assert sensitivity.low == pytest.approx((centre - half) / (1 + z * z / 10), abs=1e-5)
    assert sensitivity.high == pytest.approx((centre + half) / (1 + z * z / 10), abs=1e-5)


def test_a_rate_of_nothing_is_nan():
    none_found = metrics.at_threshold(np.zeros(3, np.float32), np.zeros(3, np.float32), 0.5)

    assert math.isnan(none_found.precision.value)
    assert math.isnan(none_found.sensitivity.value)
    assert none_found.specificity.value == 1.0


def test_areas_are_those_of_scikit_learn_and_inside_their_interval(predictions):
    ours = metrics.over_thresholds(*predictions)

    assert ours.auc.value == pytest.approx(reference.roc_auc_score(*predictions))
    assert ours.average_precision == pytest.approx(reference.average_precision_score(*predictions))
    assert ours.auc.low < ours.auc.value < ours.auc.high
    assert ours == metrics.over_thresholds(*predictions)
