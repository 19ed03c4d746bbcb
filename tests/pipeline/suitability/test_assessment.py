"""What a real run says about images that are no X-rays of its kind."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline import runs
from pipeline.suitability.assessment import Assessor
from tests.small_run import SIDE, bright_spots


@pytest.fixture(scope="module")
def assess(finished_run):
    run = runs.load(finished_run)
    return Assessor(run.model, run.reference, run.model.outputs[0])


def warned(assess, images: np.ndarray) -> float:
    """Share of the images that get a warning."""
    _, assessment = assess(tf.constant(images))
    return float((assessment.warning.numpy() != b"").mean())


def test_images_of_the_same_kind_get_hardly_any_warning(assess):
    assert warned(assess, bright_spots(200, seed=321)[0]) < 0.15


@pytest.mark.parametrize("kind", ["blank", "white", "stripes", "waves"])
def test_other_images_get_one(assess, kind):
    waves = 127 + 120 * np.sin(np.arange(SIDE) / 4)
    images = {
        "blank": np.zeros((20, SIDE, SIDE, 1)),
        "white": np.full((20, SIDE, SIDE, 1), 255),
        "stripes": np.tile(np.arange(SIDE) % 4 * 80, (20, SIDE, 1))[..., None],
        "waves": np.tile(waves, (20, SIDE, 1))[..., None],
    }[kind].astype(np.uint8)

    assert warned(assess, images) > 0.9


def test_the_output_is_the_models_and_does_not_depend_on_the_batch(assess, finished_run, images):
    run = runs.load(finished_run)

    together, assessment = assess(tf.constant(images))
    alone = [assess(tf.constant(image[None])) for image in images]

    np.testing.assert_allclose(together, run.model(images), atol=1e-6)
    for number, (output, one) in enumerate(alone):
        np.testing.assert_allclose(output[0], together[number], atol=1e-6)
        np.testing.assert_allclose(one.lung_area[0], assessment.lung_area[number], atol=1e-6)
        assert abs(float(one.familiarity[0]) - float(assessment.familiarity[number])) < 0.05
