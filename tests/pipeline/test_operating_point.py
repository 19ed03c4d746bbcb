import numpy as np
import pytest
from sklearn.metrics import recall_score

from pipeline.operating_point import OperatingPoint, choose


def test_by_hand():
    labels = np.array([0, 0, 1, 0, 1, 1, 1], np.float32)
    probabilities = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 0.9], np.float32)

    every = choose(labels, probabilities, target_sensitivity=1.0)
    three_of_four = choose(labels, probabilities, target_sensitivity=0.75)

    assert every.threshold == pytest.approx(0.25)
    assert (every.sensitivity, every.specificity) == (1.0, pytest.approx(2 / 3))
    assert three_of_four.threshold == pytest.approx(0.5)
    assert (three_of_four.sensitivity, three_of_four.specificity) == (0.75, 1.0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("target", [0.5, 0.9, 0.97, 1.0])
def test_no_other_threshold_is_more_specific_at_that_sensitivity(seed, target):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, 200).astype(np.float32)
    probabilities = np.round(np.clip(0.3 * labels + generator.uniform(0, 0.7, 200), 0, 1), 2).astype("f4")

    chosen = choose(labels, probabilities, target)

    def specificity(threshold):
        return recall_score(labels, probabilities >= threshold, pos_label=0)

    assert recall_score(labels, probabilities >= chosen.threshold) == pytest.approx(chosen.sensitivity)
    assert specificity(chosen.threshold) == pytest.approx(chosen.specificity)
    assert chosen.sensitivity >= target
    for threshold in np.unique(probabilities):
        if recall_score(labels, probabilities >= threshold) >= target:
            assert specificity(threshold) <= chosen.specificity + 1e-9


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="both classes"):
        choose(np.ones(3, np.float32), np.array([0.1, 0.2, 0.3], np.float32))


def test_it_survives_json():
    point = OperatingPoint(0.123456789, 0.97, 0.98, 0.5, "val", "a rule")

    assert OperatingPoint.from_json(point.to_json()) == point
