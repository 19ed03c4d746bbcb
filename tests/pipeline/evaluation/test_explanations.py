import math

import numpy as np
import pytest

from pipeline.evaluation import explanations
from pipeline.evaluation.explanations import ExplainedBatch
from pipeline.evaluation.heat_in_lungs import measure_images


def explained(heatmaps: np.ndarray) -> ExplainedBatch:
    """A batch without lung attention and without lung masks."""
    nowhere = np.zeros(heatmaps.shape, bool)
    return ExplainedBatch(heatmaps, None, measure_images(heatmaps, nowhere, np.zeros(len(heatmaps), bool)))


@pytest.fixture
def heatmaps() -> np.ndarray:
    """Of 10 images; the second has no heat."""
    heatmaps = np.random.default_rng(0).random((10, 20, 20)).astype(np.float32)
    heatmaps[1] = 0
    return heatmaps


@pytest.fixture
def ten_predictions(make_predictions):
    return make_predictions([0, 1] * 5, np.linspace(0, 1, 10))


@pytest.mark.parametrize("batch_size", [1, 4, 10])
def test_sums_over_batches_are_those_over_all_heatmaps(heatmaps, ten_predictions, batch_size):
    batches = [explained(heatmaps[begin : begin + batch_size]) for begin in range(0, 10, batch_size)]

    sums = explanations.sum_heatmaps(ten_predictions, batches, {0, 7})
    measured = explanations.measure_border(sums)

    np.testing.assert_allclose(sums.of_class, [heatmaps[::2].sum(axis=0), heatmaps[1::2].sum(axis=0)], 1e-5)
    assert measured.images_without_heat == 1
    inner = heatmaps[:, 2:18, 2:18].sum()
    assert measured.share_of_heat_in_border == pytest.approx(1 - inner / heatmaps.sum(), abs=1e-6)
    assert measured.share_of_area_in_border == pytest.approx(1 - 0.8**2)


def test_only_the_heatmaps_that_are_shown_are_kept(heatmaps, ten_predictions):
    sums = explanations.sum_heatmaps(
        ten_predictions, [explained(heatmaps[:6]), explained(heatmaps[6:])], {0, 7}
    )

    assert set(sums.examples) == {0, 7}
    for position, kept in sums.examples.items():
        np.testing.assert_array_equal(kept.heat, heatmaps[position])
        assert kept.heat.base is None  # no view, which would keep the batch


def test_without_any_heat_there_is_no_share_of_it(ten_predictions):
    sums = explanations.sum_heatmaps(ten_predictions, [explained(np.zeros((10, 20, 20), np.float32))], set())

    measured = explanations.measure_border(sums)

    assert math.isnan(measured.share_of_heat_in_border)
    assert measured.images_without_heat == 10
