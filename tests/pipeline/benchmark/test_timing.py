import time

import pytest

from pipeline.benchmark.goodput import ratios
from pipeline.benchmark.timing import Rates, Timer, meter


@pytest.fixture
def clock(monkeypatch):
    """A clock that only goes on when it is told to."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_a_rate_is_units_by_seconds_without_the_burn_in(clock):
    costs = iter([9.0] + [0.25] * 4)

    def work():
        clock[0] += next(costs)
        return 10

    assert meter(work)(1.0) == 40.0


def test_rounds_go_through_all_and_the_first_is_not_counted():
    called = []

    def metering(name, values):
        def rate(seconds):
            called.append((name, seconds))
            return next(values)

        return rate

    first, second = Timer(repeats=3, seconds=0.5).measure_all(
        [metering("a", iter([9.0, 20.0, 40.0, 5.0])), metering("b", iter([9.0, 10.0, 10.0, 10.0]))]
    )

    assert called == [("a", 0.5), ("b", 0.5)] * 4
    assert first.values == (20.0, 40.0, 5.0)
    assert (first.median, first.least, first.most) == (20.0, 5.0, 40.0)
    assert second.values == (10.0, 10.0, 10.0)


def test_a_ratio_is_the_median_of_those_of_each_round():
    busy_in_the_last_round = Rates((30.0, 33.0, 3.0)), Rates((10.0, 10.0, 1.0))

    assert busy_in_the_last_round[0].over(busy_in_the_last_round[1]) == 3.0


def test_the_median_of_an_even_number_is_between_the_middle_two():
    assert Rates((1.0, 4.0, 2.0, 100.0)).median == 3.0


def test_goodput_is_a_fraction_of_the_slower_one():
    step = Rates((400.0, 200.0))
    fed = ratios(input_alone=Rates((5000.0, 4000.0)), step_alone=step, together=Rates((392.0, 196.0)))
    starved = ratios(input_alone=Rates((200.0, 100.0)), step_alone=step, together=Rates((190.0, 95.0)))

    assert fed["goodput"] == pytest.approx(0.98)
    assert fed["waiting"] == pytest.approx(0.02)
    assert starved["goodput"] == pytest.approx(0.95)
    assert starved["waiting"] == pytest.approx(0.525)


@pytest.mark.parametrize("wrong", [{"repeats": 0}, {"seconds": 0.0}])
def test_a_timer_that_times_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        Timer(**wrong)
