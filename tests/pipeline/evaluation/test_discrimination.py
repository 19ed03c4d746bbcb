import pytest
from sklearn import metrics as reference

from pipeline.evaluation import discrimination


def test_figures_are_those_of_scikit_learn_and_inside_their_interval(predictions):
    ours = discrimination.measure(predictions).over_thresholds

    labels, probabilities = predictions.labels, predictions.probabilities
    assert ours.auc.value == pytest.approx(reference.roc_auc_score(labels, probabilities))
    assert ours.average_precision.value == pytest.approx(
        reference.average_precision_score(labels, probabilities)
    )
    assert ours.brier.value == pytest.approx(reference.brier_score_loss(labels, probabilities))
    for figure in (ours.auc, ours.average_precision, ours.brier):
        assert figure.low < figure.value < figure.high
    assert ours == discrimination.measure(predictions).over_thresholds


def test_the_more_specificity_is_asked_for_the_less_sensitivity_is_left(predictions):
    ours = discrimination.measure(predictions).over_thresholds

    for rates in (ours.sensitivity_at_specificity, ours.specificity_at_sensitivity):
        values = [rate.value for rate in rates.values()]
        assert values == sorted(values, reverse=True)
        assert values[-1] < 1
