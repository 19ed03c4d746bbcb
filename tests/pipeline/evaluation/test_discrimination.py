import pytest
from sklearn import metrics as reference

from pipeline.evaluation import discrimination


def test_areas_are_those_of_scikit_learn_and_inside_their_interval(predictions):
    ours = discrimination.measure(predictions).over_thresholds

    labels, probabilities = predictions.labels, predictions.probabilities
    assert ours.auc.value == pytest.approx(reference.roc_auc_score(labels, probabilities))
    assert ours.average_precision == pytest.approx(reference.average_precision_score(labels, probabilities))
    assert ours.brier == pytest.approx(reference.brier_score_loss(labels, probabilities))
    assert ours.auc.low < ours.auc.value < ours.auc.high
    assert ours == discrimination.measure(predictions).over_thresholds
