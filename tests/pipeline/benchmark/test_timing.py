import time

import pytest

from pipeline.benchmark.goodput import ratios
from pipeline.benchmark.timing import Rates, Timer


@pytest.fixture
def clock(monkeypatch):
    """A clock that only goes on when it is told to."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_rates_are_units_by_seconds_without_the_burn_in(clock):
    costs = iter([9.0] + [0.5] * 2 + [0.25] * 4 + [2.0])

    def work():
        clock[0] += next(costs)
        return 10

    rates = Timer(repeats=3, seconds=1.0).rates(work)

    assert rates.values == (20.0, 40.0, 5.0)
    assert (rates.median, rates.least, rates.most) == (20.0, 5.0, 40.0)


def test_the_median_of_an_even_number_is_between_the_middle_two():
    assert Rates((1.0, 4.0, 2.0, 100.0)).median == 3.0


def test_goodput_is_a_fraction_of_the_slower_one():
    fed = ratios(input_alone=5000.0, step_alone=400.0, together=392.0)
    starved = ratios(input_alone=200.0, step_alone=400.0, together=190.0)

    assert fed["goodput"] == pytest.approx(0.98)
    assert fed["waiting"] == pytest.approx(0.02)
    assert starved["goodput"] == pytest.approx(0.95)
    assert starved["waiting"] == pytest.approx(0.525)


@pytest.mark.parametrize("wrong", [{"repeats": 0}, {"seconds": 0.0}])
def test_a_timer_that_times_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        Timer(**wrong)
