import math

import numpy as np
import pytest

from pipeline.evaluation.intervals import Interval, bootstrap, proportion


def test_wilson_interval_by_hand():
    interval = proportion(8, 10)

    # Wilson, 8 of 10, z = 1.95996: (0.8 + z2/20 -+ z sqrt(0.16/10 + z2/400)) / (1 + z2/10)
    z = 1.959964
    center, half = 0.8 + z * z / 20, z * math.sqrt(0.16 / 10 + z * z / 400)
    assert interval.value == 0.8
    assert interval.low == pytest.approx((center - half) / (1 + z * z / 10), abs=1e-5)
    assert interval.high == pytest.approx((center + half) / (1 + z * z / 10), abs=1e-5)


def test_a_proportion_of_nothing_is_not_defined():
    assert math.isnan(proportion(0, 0).value)
    assert str(proportion(0, 0)) == "not defined"


def test_the_bootstrap_of_a_mean_agrees_with_the_normal_approximation_and_repeats():
    values = np.random.default_rng(0).normal(5, 2, 400).astype(np.float32)

    interval = bootstrap(lambda group: float(group.mean()), [values])

    half = 1.96 * values.std() / math.sqrt(len(values))
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.03)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.03)
    assert interval == bootstrap(lambda group: float(group.mean()), [values])


def test_the_text_of_an_interval():
    assert str(Interval(0.95, 0.9, 1.0)) == "0.950 (0.900 to 1.000)"
