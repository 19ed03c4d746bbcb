import numpy as np
import pytest

from pipeline.evaluation import heat_in_lungs
from pipeline.evaluation.heat_in_lungs import measure_images
from pipeline.evaluation.intervals import mean_by_patient


@pytest.fixture
def lungs() -> np.ndarray:
    """The left half of four images of 8x8 pixels."""
    lungs = np.zeros((4, 8, 8), bool)
    lungs[:, :, :4] = True
    return lungs


def heatmaps() -> np.ndarray:
    """All heat in the lungs; evenly spread; all outside; none."""
    heat = np.zeros((4, 8, 8), np.float32)
    heat[0, 2, 1] = 1
    heat[1] = 0.5
    heat[2, 2, 6] = 1
    return heat


def test_share_area_and_peak_of_each_image(lungs):
    found = measure_images(heatmaps(), lungs, np.ones(4, bool))

    np.testing.assert_allclose(found.share_of_heat, [1, 0.5, 0, np.nan])
    np.testing.assert_allclose(found.share_of_area, [0.5, 0.5, 0.5, np.nan])
    np.testing.assert_allclose(found.peak_in_lung, [1, 1, 0, np.nan])


def test_images_without_a_mask_are_left_out(lungs, make_predictions):
    known = np.array([True, False, True, True])
    found = measure_images(heatmaps(), lungs, known)

    measured = heat_in_lungs.measure(found, make_predictions([0, 0, 1, 1], [0.1, 0.2, 0.9, 0.3]))

    assert measured["all"].images == 2
    assert measured["all"].share_of_heat.value == 0.5
    assert measured["all"].ratio == 1.0
    assert measured["called PNEUMONIA"].share_of_heat.value == 0
    assert measured["right"].images == 2
    assert measured["wrong"].images == 0
    assert np.isnan(measured["wrong"].ratio)


def test_batches_are_joined(lungs):
    every = np.ones(4, bool)
    joined = heat_in_lungs.join(
        [measure_images(heatmaps()[part], lungs[part], every[part]) for part in (slice(0, 3), slice(3, 4))]
    )

    np.testing.assert_array_equal(
        joined.share_of_heat, measure_images(heatmaps(), lungs, every).share_of_heat
    )


def test_images_of_one_patient_count_together_in_the_interval():
    generator = np.random.default_rng(0)
    of_patient = np.repeat(generator.normal(size=40), 10)  # all images of a patient are alike

    together = mean_by_patient(of_patient, np.repeat(np.arange(40).astype(str), 10))
    apart = mean_by_patient(of_patient, np.arange(400).astype(str))

    expected_width = 2 * 1.96 * of_patient[::10].std() / 40**0.5
    assert together.value == apart.value == pytest.approx(of_patient.mean())
    assert together.high - together.low == pytest.approx(expected_width, rel=0.1)
    assert apart.high - apart.low == pytest.approx(expected_width / 10**0.5, rel=0.1)
