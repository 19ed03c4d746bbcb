import numpy as np
import pytest

from pipeline.evaluation import robustness
from pipeline.evaluation.acquisition import CHANGES, change_images


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_the_acquisition_changes_pixels_and_keeps_shape_and_type(name, images):
    changed = change_images(images, CHANGES[name])

    assert (changed.shape, changed.dtype) == (images.shape, np.uint8)
    assert (changed != images).any()


def test_wider_makes_wider():
    square = np.zeros((1, 64, 64, 1), np.uint8)
    square[0, 24:40, 24:40] = 255

    wide = change_images(square, CHANGES["wider x 1.1"])[0, ..., 0] > 127

    assert wide.any(axis=0).sum() == pytest.approx(16 * 1.1, abs=1)
    assert wide.any(axis=1).sum() == 16


def test_figures_are_those_of_the_changed_images_at_the_same_threshold(make_predictions):
    images = np.repeat(np.array([60, 160], np.uint8), 8 * 8).reshape(2, 8, 8, 1)

    def predict(batch):
        return batch.mean(axis=(1, 2, 3), dtype=np.float32) / 255

    predictions = make_predictions([0, 1], predict(images), threshold=0.6)
    measured = robustness.measure(predictions, images, predict).robustness

    assert list(measured) == ["as it is", *CHANGES]
    assert measured["as it is"] == robustness.AfterChange(auc=1.0, sensitivity=1.0, specificity=1.0)
    # 255 * (160 / 255) ** 1.4 is 133, which is below the threshold of 0.6 * 255 = 153.
    assert measured["darker (gamma 1.4)"] == robustness.AfterChange(auc=1.0, sensitivity=0.0, specificity=1.0)
