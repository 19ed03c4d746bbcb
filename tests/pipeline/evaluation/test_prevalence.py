import pytest

from pipeline.evaluation import prevalence, thresholds


def test_at_the_prevalence_of_the_images_the_values_are_those_that_are_counted(predictions):
    share = float(predictions.labels.mean())

    values = prevalence.measure(predictions, [share]).at_prevalence[f"{share:g}"]

    counted = thresholds.measure(predictions).at_operating_point
    assert values.precision.value == pytest.approx(counted.precision.value)
    assert values.negative_predictive_value.value == pytest.approx(counted.negative_predictive_value.value)
    assert values.precision.low < values.precision.value < values.precision.high


def test_bayes_theorem_by_hand(make_predictions):
    """Sensitivity 0.9, specificity 0.8, prevalence 0.1: 0.09 / (0.09 + 0.18) and 0.72 / (0.72 + 0.01)."""
    labels = [1] * 10 + [0] * 10
    predictions = make_predictions(labels, [0.9] * 9 + [0.1] + [0.9] * 2 + [0.1] * 8)

    values = prevalence.measure(predictions, [0.1]).at_prevalence["0.1"]

    assert values.precision.value == pytest.approx(1 / 3)
    assert values.negative_predictive_value.value == pytest.approx(72 / 73)
