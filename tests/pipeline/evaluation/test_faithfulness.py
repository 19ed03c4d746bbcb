import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import auc, jaccard_score

from pipeline import runs
from pipeline.evaluation import faithfulness
from pipeline.evaluation.faithfulness import STEPS


def drawn(seed=0, shape=(4, 16, 16)):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def test_the_hottest_pixels_are_changed_first():
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 1), dtype=np.uint8)
    heatmap = np.zeros((20, 20), np.float32)
    heatmap[5:10, 2:10] = np.linspace(0.5, 1, 40).reshape(5, 8)  # a tenth of the pixels

    deleted, inserted = faithfulness.change_gradually(image, heatmap, np.random.default_rng(0))

    assert len(deleted) == len(inserted) == STEPS + 1
    np.testing.assert_array_equal(deleted[0], image)
    np.testing.assert_array_equal(inserted[-1], image)
    np.testing.assert_array_equal(deleted[-1], inserted[0])
    np.testing.assert_array_equal(deleted[1], np.where(heatmap[..., None] > 0, inserted[0], image))
    np.testing.assert_array_equal(inserted[1], np.where(heatmap[..., None] > 0, image, inserted[0]))


def test_the_area_is_that_of_scikit_learn():
    curve = drawn()[0, 0].astype(np.float64)

    assert faithfulness.area_under(curve) == pytest.approx(auc(np.linspace(0, 1, len(curve)), curve))


def test_ranks_are_correlated_as_spearman_did():
    first, second = drawn(0)[0], np.round(drawn(1)[0], 1)

    expected = stats.pearsonr(stats.rankdata(first), stats.rankdata(second)).statistic
    assert faithfulness.rank_correlation(first, second) == pytest.approx(expected)
    assert np.isnan(faithfulness.rank_correlation(first, np.zeros_like(first)))


def test_overlap_and_peak():
    heatmaps, lesions = drawn(0), drawn(1) > 0.7
    heatmaps[0] = 0
    heatmaps[1][tuple(np.argwhere(lesions[1])[0])] = 2
    heatmaps[2][tuple(np.argwhere(~lesions[2])[0])] = 2

    overlaps = faithfulness.overlaps(heatmaps, lesions)

    for number in (1, 2, 3):
        hot = heatmaps[number] >= heatmaps[number].max() / 2
        assert overlaps[number] == pytest.approx(jaccard_score(lesions[number].ravel(), hot.ravel()))
    assert overlaps[0] == 0
    assert faithfulness.peaks_inside(heatmaps, lesions)[:3].tolist() == [0, 1, 0]


def test_random_maps_are_as_smooth_as_their_grid():
    maps = faithfulness.draw_random_maps(3, (4, 4), 32, seed=0)

    assert maps.shape == (3, 32, 32)
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert np.abs(np.diff(maps, axis=1)).max() < 0.2
    assert not np.allclose(maps[0], maps[1])


def test_random_weights_have_the_spread_of_the_trained_ones(finished_run):
    trained, randomized = runs.load_model(finished_run), runs.load_model(finished_run)

    faithfulness.randomize_weights(randomized, seed=0)

    for old, new in zip(trained.trainable_variables, randomized.trainable_variables, strict=True):
        before, after = np.asarray(old), np.asarray(new)
        if before.ndim == 1:
            np.testing.assert_array_equal(before, after)
        elif before.size > 200:
            assert not np.allclose(before, after)
            assert after.std() == pytest.approx(before.std(), rel=0.3)


def test_a_real_evaluation_has_both_methods(explained):
    measured = explained.metrics["faithfulness"]

    assert set(measured) == {"gradcam", "hirescam"}
    for figures in measured.values():
        assert figures["insertion_gain"]["value"] > figures["insertion_gain"]["low"] > 0
        assert figures["deletion_gain"]["low"] > 0
        assert figures["peak_in_lesion"]["value"] is None
    assert explained.metrics["lesion_area"] is None
