"""The figures of curves are those of scikit-learn: with ties, extreme probabilities, and repeated images."""

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from pipeline.evaluation.curves import Curves

CASES = range(20)


def random_case(case: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities and times; even cases have many ties, every third one has 0 and 1."""
    generator = np.random.default_rng(case)
    count = int(generator.integers(5, 200))
    labels = generator.integers(0, 2, count).astype(np.float32)
    labels[:2] = 0, 1
    probabilities = np.clip(0.3 * labels + generator.uniform(0, 0.9, count), 0, 1).astype(np.float32)
    if case % 2 == 0:
        probabilities = np.round(probabilities, 1)
    if case % 3 == 0:
        probabilities[::4] = np.round(probabilities[::4])
    return labels, probabilities, generator.integers(1, 4, count).astype(float)


@pytest.mark.parametrize("case", CASES)
def test_areas_are_those_of_scikit_learn(case):
    labels, probabilities, times = random_case(case)
    curves = Curves(labels, probabilities)

    for weights in (np.ones_like(times), times):
        area = reference.roc_auc_score(labels, probabilities, sample_weight=weights)
        precision = reference.average_precision_score(labels, probabilities, sample_weight=weights)
        assert curves.auc(weights) == pytest.approx(area, abs=1e-6)
        assert curves.average_precision(weights) == pytest.approx(precision, abs=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_rates_at_a_fixed_other_rate_are_those_of_scikit_learns_curve(case):
    labels, probabilities, times = random_case(case)
    curves = Curves(labels, probabilities)
    false_positive, true_positive, _ = reference.roc_curve(
        labels, probabilities, sample_weight=times, drop_intermediate=False
    )

    for limit in (0.5, 0.9, 0.97, 1.0):
        sensitivity = true_positive[false_positive <= 1 - limit + 1e-9].max()
        specificity = 1 - false_positive[true_positive >= limit - 1e-9].min()
        assert curves.sensitivity_at(limit, times) == pytest.approx(sensitivity, abs=1e-6)
        assert curves.specificity_at(limit, times) == pytest.approx(specificity, abs=1e-6)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_has_no_curve(label):
    curves = Curves(np.full(5, label), np.linspace(0, 1, 5))
    figures = (curves.auc, curves.average_precision)
    rates = (curves.sensitivity_at, curves.specificity_at)

    assert all(math.isnan(figure(np.ones(5))) for figure in figures)
    assert all(math.isnan(figure(0.9, np.ones(5))) for figure in rates)
