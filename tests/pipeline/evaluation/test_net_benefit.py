import math

import numpy as np
import pytest

from pipeline.evaluation import net_benefit


def test_by_hand():
    """Of 1,000 images, at a threshold of 10 %, 65 true and 225 false positives."""
    called, is_pneumonia = np.zeros(1000, bool), np.zeros(1000, bool)
    called[:290] = True
    is_pneumonia[:65] = True

    benefit = net_benefit.net_benefit(called, is_pneumonia, 0.1, np.ones(1000))

    assert benefit == pytest.approx(65 / 1000 - 225 / 1000 * 0.1 / 0.9)
    assert benefit == pytest.approx(0.04, abs=1e-12)


def test_calling_all_gains_nothing_at_the_prevalence(make_predictions):
    predictions = make_predictions([0, 1] * 10, [0.9] * 20, threshold=0.5)

    figures = net_benefit.measure(predictions).net_benefit

    assert figures.model.value == figures.call_all.value == figures.gain.value == pytest.approx(0)


def test_a_threshold_of_one_has_no_net_benefit(make_predictions):
    figures = net_benefit.measure(make_predictions([0, 1], [0.2, 1.0], threshold=1.0)).net_benefit
    assert math.isnan(figures.model.value)
