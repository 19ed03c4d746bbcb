import math

import numpy as np
import pytest
from scipy import stats

from pipeline.evaluation import intervals
from pipeline.evaluation.curves import Curves
from pipeline.evaluation.intervals import Interval, bootstrap_by_patient, mean_by_patient, proportion


def patients_of(images: int, per_patient: int) -> np.ndarray:
    return np.array([f"patient{number // per_patient}" for number in range(images)])


@pytest.mark.parametrize(("hits", "images"), [(8, 10), (1, 3), (97, 100), (0, 7), (7, 7)])
def test_one_image_a_patient_has_wilsons_interval(hits, images):
    interval = proportion(np.arange(images) < hits, patients_of(images, 1))

    reference = stats.binomtest(hits, images).proportion_ci(0.95, method="wilson")
    assert interval.value == hits / images
    assert (interval.low, interval.high) == pytest.approx((reference.low, reference.high), abs=1e-9)


def test_images_of_a_patient_that_are_all_alike_count_once():
    once = proportion(np.arange(20) < 15, patients_of(20, 1))
    thrice = proportion(np.repeat(np.arange(20) < 15, 3), patients_of(60, 3))
    all_hits = proportion(np.ones(60, bool), patients_of(60, 3))

    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert all_hits == proportion(np.ones(20, bool), patients_of(20, 1))


def test_a_proportion_of_nothing_is_not_defined():
    nothing = proportion(np.zeros(0, bool), [])
    assert math.isnan(nothing.value)
    assert str(nothing) == "not defined"


def test_the_bootstrap_of_a_mean_agrees_with_the_normal_approximation_and_repeats():
    values = np.random.default_rng(0).normal(5, 2, 400)

    def measure() -> Interval:
        mean = {"mean": lambda times: float(times @ values / times.sum())}
        return bootstrap_by_patient(mean, patients_of(400, 1))["mean"]

    half = 1.96 * values.std() / math.sqrt(len(values))
    assert measure().value == pytest.approx(values.mean())
    assert measure().low == pytest.approx(values.mean() - half, abs=0.03)
    assert measure().high == pytest.approx(values.mean() + half, abs=0.03)
    assert measure() == measure()


def test_figures_that_are_often_undefined_have_no_interval():
    statistics = {"rare": lambda times: 1.0 if times[0] else math.nan, "never": lambda _: math.nan}

    measured = bootstrap_by_patient(statistics, patients_of(10, 1))

    assert str(measured["rare"]) == "1.000 (interval not defined)"
    assert str(measured["never"]) == "not defined"


def test_one_patient_has_no_interval():
    measured = bootstrap_by_patient({"one": lambda _: 1.0}, ["the only one"] * 5)
    assert str(measured["one"]) == "1.000 (interval not defined)"


def test_with_many_images_there_are_fewer_resamples(monkeypatch):
    monkeypatch.setattr(intervals, "MOST_RESAMPLED_IMAGES", 100)
    calls = []

    bootstrap_by_patient({"figure": lambda times: float(calls.append(times) or 0)}, patients_of(10, 1))

    assert len(calls) == intervals.FEWEST_RESAMPLES + 1


@pytest.mark.slow
@pytest.mark.parametrize("figure", ["proportion", "bootstrap", "mean"])
def test_of_many_intervals_95_percent_hold_the_truth(figure, monkeypatch):
    """120 patients of 1 to 4 images that are alike: the share of hits is a beta variable of the patient."""
    monkeypatch.setattr(intervals, "BOOTSTRAP_RESAMPLES", 400)
    generator = np.random.default_rng(5)
    simulations, truth, held = 600, 0.7, 0
    for simulation in range(simulations):
        images = generator.integers(1, 5, 120)
        patients = np.repeat(np.arange(120), images)
        hits = generator.uniform(size=len(patients)) < generator.beta(2.1, 0.9, 120)[patients]
        if figure == "proportion":
            interval = proportion(hits, patients)
        elif figure == "mean":
            interval = mean_by_patient(hits.astype(float), patients, simulation)
        else:
            share = {"share": lambda times, hits=hits: float(times @ hits / times.sum())}
            interval = bootstrap_by_patient(share, patients, simulation)["share"]
        held += interval.low <= truth <= interval.high

    assert 0.93 <= held / simulations <= 0.97


@pytest.mark.slow
def test_of_many_intervals_of_auc_95_percent_hold_the_truth(monkeypatch):
    """120 patients of 1 to 4 images. The scores of a patient's images have a part in common."""
    monkeypatch.setattr(intervals, "BOOTSTRAP_RESAMPLES", 400)
    generator = np.random.default_rng(6)
    simulations, held = 400, 0
    for simulation in range(simulations):
        patients = np.repeat(np.arange(120), generator.integers(1, 5, 120))
        labels = (patients % 2).astype(float)
        scores = 1.5 * labels + generator.normal(size=120)[patients] + generator.normal(size=len(patients))
        interval = bootstrap_by_patient({"auc": Curves(labels, scores).auc}, patients, simulation)["auc"]
        held += interval.low <= stats.norm.cdf(1.5 / 2) <= interval.high

    assert 0.93 <= held / simulations <= 0.97


def test_one_image_a_patient_has_fishers_p_value():
    hits, group = np.arange(60) % 4 == 0, np.arange(60) < 20
    hits[:10] = True

    p_value = intervals.p_value_of_difference(hits, group, patients_of(60, 1))

    table = [[int((hits & side).sum()), int((~hits & side).sum())] for side in (group, ~group)]
    assert p_value == pytest.approx(stats.fisher_exact(table).pvalue)


def test_images_of_a_patient_that_are_alike_add_no_evidence():
    hits, group = np.arange(30) % 3 == 0, np.arange(30) < 10
    hits[:5] = True
    once = intervals.p_value_of_difference(hits, group, patients_of(30, 1))

    thrice = intervals.p_value_of_difference(np.repeat(hits, 3), np.repeat(group, 3), patients_of(90, 3))

    assert thrice == pytest.approx(once)


def test_a_group_of_all_images_differs_from_nothing():
    hits = np.arange(4) < 2
    assert math.isnan(intervals.p_value_of_difference(hits, np.ones(4, bool), patients_of(4, 1)))


def test_the_text_of_an_interval():
    assert str(Interval(0.95, 0.9, 1.0)) == "0.950 (0.900 to 1.000)"
