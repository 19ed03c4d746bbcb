import math

import pytest
from sklearn import metrics as reference

from pipeline.evaluation import thresholds


def test_rates_are_those_of_scikit_learn(predictions):
    labels, called = predictions.labels, predictions.probabilities >= 0.45

    ours = thresholds.measure(predictions).at_operating_point

    assert ours.threshold == 0.45
    assert ours.accuracy.value == pytest.approx(reference.accuracy_score(labels, called))
    assert ours.sensitivity.value == pytest.approx(reference.recall_score(labels, called))
    assert ours.specificity.value == pytest.approx(reference.recall_score(labels, called, pos_label=0))
    assert ours.precision.value == pytest.approx(reference.precision_score(labels, called))
    assert ours.negative_predictive_value.value == pytest.approx(
        reference.precision_score(labels, called, pos_label=0)
    )
    assert ours.f1.value == pytest.approx(reference.f1_score(labels, called))
    assert ours.balanced_accuracy.value == pytest.approx(reference.balanced_accuracy_score(labels, called))
    assert ours.f1.low < ours.f1.value < ours.f1.high


def test_counts_at_half_are_those_of_scikit_learn(predictions):
    ours = thresholds.measure(predictions).at_half

    expected = reference.confusion_matrix(predictions.labels, predictions.probabilities >= 0.5).ravel()
    counts = (ours.true_negatives, ours.false_positives, ours.false_negatives, ours.true_positives)
    assert counts == tuple(expected)


def test_a_rate_without_any_image_is_nan(make_predictions):
    none_called = thresholds.at_threshold(make_predictions([0, 0, 0], [0, 0, 0]), 0.5)

    assert math.isnan(none_called.precision.value)
    assert math.isnan(none_called.sensitivity.value)
    assert none_called.specificity.value == 1.0
