import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import recall_score

from pipeline.decision.operating_point import OperatingPoint, Rule, choose, confidence_in


def test_by_hand():
    labels = np.array([0, 0, 1, 0, 1, 1, 1], np.float32)
    probabilities = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 0.9], np.float32)

    every = choose(labels, probabilities, Rule(target=1.0))
    three_of_four = choose(labels, probabilities, Rule(target=0.75))

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

    chosen = choose(labels, probabilities, Rule(target=target))

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


def cases() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 2, 300).astype(np.float32)
    return labels, np.round(np.clip(0.4 * labels + generator.uniform(0, 0.7, 300), 0, 1), 2).astype("f4")


def rates(labels, probabilities, threshold) -> tuple[float, float]:
    called = probabilities >= threshold
    return recall_score(labels, called), recall_score(labels, called, pos_label=0)


@pytest.mark.parametrize("target", [0.5, 0.9, 0.99])
def test_no_other_threshold_is_more_sensitive_at_that_specificity(target):
    labels, probabilities = cases()

    chosen = choose(labels, probabilities, Rule("specificity", target))

    assert chosen.specificity >= target
    assert chosen.target_sensitivity is None
    for threshold in np.unique(probabilities):
        sensitivity, specificity = rates(labels, probabilities, threshold)
        assert specificity < target or sensitivity <= chosen.sensitivity + 1e-9


@pytest.mark.parametrize(
    ("rule", "cost_of_miss", "cost_of_alarm"),
    [
        (Rule("youden"), 1, 1),
        (Rule("cost", missed_cost=20, prevalence=0.1), 20 * 0.1, 0.9),
        (Rule("cost", missed_cost=0.1, prevalence=0.5), 0.05, 0.5),
    ],
)
def test_no_other_threshold_costs_less(rule, cost_of_miss, cost_of_alarm):
    labels, probabilities = cases()

    def cost(threshold):
        sensitivity, specificity = rates(labels, probabilities, threshold)
        return cost_of_miss * (1 - sensitivity) + cost_of_alarm * (1 - specificity)

    chosen = choose(labels, probabilities, rule)

    assert cost(chosen.threshold) == pytest.approx(min(map(cost, np.unique(probabilities))))
    assert chosen.confidence is None


@pytest.mark.parametrize(("hits", "images", "target"), [(97, 100, 0.97), (160, 166, 0.9), (20, 20, 0.8)])
def test_the_confidence_is_that_of_the_exact_interval_that_begins_at_the_target(hits, images, target):
    confidence = confidence_in(target, hits, images)

    interval = stats.binomtest(hits, images, alternative="greater").proportion_ci(confidence, method="exact")
    assert interval.low == pytest.approx(target, abs=1e-6)


@pytest.mark.parametrize("name", ["sensitivity", "specificity"])
def test_with_a_confidence_the_rate_is_higher_by_as_much_as_is_needed(name):
    labels, probabilities = cases()
    images = int((labels == (name == "sensitivity")).sum())

    chosen = choose(labels, probabilities, Rule(name, 0.8, confidence=0.95))

    hits = round(getattr(chosen, name) * images)
    assert chosen.confidence == pytest.approx(confidence_in(0.8, hits, images))
    assert chosen.confidence >= 0.95
    assert getattr(choose(labels, probabilities, Rule(name, 0.8)), name) < getattr(chosen, name)


def test_too_few_images_for_a_confidence_are_refused():
    labels, probabilities = np.array([0, 1] * 10), np.linspace(0, 1, 20)
    with pytest.raises(ValueError, match="10 PNEUMONIA images are too few"):
        choose(labels, probabilities, Rule(target=0.97, confidence=0.95))


def test_a_specificity_that_no_threshold_has_is_refused():
    with pytest.raises(ValueError, match="no threshold that finds any pneumonia"):
        choose(np.array([0, 1]), np.array([0.9, 0.1]), Rule("specificity", 0.9))


@pytest.mark.parametrize(
    "wrong",
    [
        {"target": 0},
        {"confidence": 1},
        {"prevalence": 0},
        {"missed_cost": 0},
        {"name": "youden", "confidence": 0.9},
    ],
)
def test_impossible_rules_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        Rule(**wrong)
