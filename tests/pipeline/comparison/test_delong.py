import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from pipeline.comparison import delong


def as_defined(is_pneumonia, first, second) -> tuple[float, float]:
    """Standard error and p by the definition of DeLong et al.: every positive with every negative image."""
    placed = []
    for model in (first, second):
        positive, negative = model[is_pneumonia][:, None], model[~is_pneumonia][None]
        placed.append((positive > negative) + 0.5 * (positive == negative))
    over_negatives, over_positives = [p.mean(1) for p in placed], [p.mean(0) for p in placed]
    covariance = np.cov(over_negatives) / is_pneumonia.sum() + np.cov(over_positives) / (~is_pneumonia).sum()
    error = math.sqrt(np.array([1, -1]) @ covariance @ np.array([1, -1]))
    return error, 2 * stats.norm.sf(abs(placed[0].mean() - placed[1].mean()) / error)


def drawn(seed: int, count: int = 80, gain: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and the probabilities of two models with ties, the second one better by `gain`."""
    generator = np.random.default_rng(seed)
    is_pneumonia = generator.uniform(size=count) < 0.5
    common = is_pneumonia + generator.normal(size=count)
    models = (np.round(common + generator.normal(size=count) + g * is_pneumonia, 1) for g in (0, gain))
    return is_pneumonia, *models


@pytest.mark.parametrize("seed", range(10))
def test_it_is_the_definition(seed):
    is_pneumonia, first, second = drawn(seed)

    ours = delong.compare(is_pneumonia, first, second)

    areas = [roc_auc_score(is_pneumonia, model) for model in (first, second)]
    assert list(ours.auc) == pytest.approx(areas)
    expected = as_defined(is_pneumonia, first, second)
    assert (ours.standard_error, ours.p_value) == pytest.approx(expected, abs=1e-6)


def test_of_models_that_are_equally_good_five_percent_differ():
    p_values = [delong.compare(*drawn(seed, 200, gain=0)).p_value for seed in range(1000)]
    assert 0.035 <= np.mean(np.array(p_values) < 0.05) <= 0.065


def test_models_that_rank_alike_are_not_compared():
    is_pneumonia, first, _ = drawn(0)
    assert math.isnan(delong.compare(is_pneumonia, first, 2 * first + 1).p_value)


def test_one_image_of_a_class_is_too_few():
    one = delong.compare(np.array([True, False, False]), np.arange(3), np.arange(3)[::-1])
    assert math.isnan(one.p_value)
