import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipeline.suitability.gradients import CELLS, DIRECTIONS, gradient_histograms


def histograms(images: np.ndarray) -> np.ndarray:
    """The same by loops over pixels, (batch, CELLS, CELLS, DIRECTIONS)."""
    found = np.zeros((len(images), CELLS, CELLS, DIRECTIONS))
    for number, image in enumerate(images[..., 0].astype(float)):
        gray = image / (image.std() + 1)
        gray = np.pad(gray, 1, mode="reflect")
        cell = len(image) // CELLS
        start = (len(image) - CELLS * cell) // 2
        for row in range(CELLS * cell):
            for column in range(CELLS * cell):
                y, x = row + start + 1, column + start + 1
                across, down = gray[y, x + 1] - gray[y, x - 1], gray[y + 1, x] - gray[y - 1, x]
                angle = np.degrees(np.arctan2(down, across)) % 180
                direction = int(angle // (180 / DIRECTIONS)) % DIRECTIONS
                found[number, row // cell, column // cell, direction] += np.hypot(across, down) / cell**2
    return np.log(found + 1e-3)


@pytest.fixture
def textures() -> np.ndarray:
    noise = np.random.default_rng(0).normal(128, 60, (3, 33, 33)).clip(0, 255)
    return np.stack([cv2.GaussianBlur(image, (0, 0), 1.5) for image in noise])[..., None].astype(np.float32)


@pytest.mark.parametrize("in_graph", [False, True])
def test_they_are_those_of_loops_over_pixels(textures, in_graph):
    compute = tf.function(gradient_histograms) if in_graph else gradient_histograms

    found = np.asarray(compute(tf.constant(textures)))

    expected = histograms(textures).reshape(3, -1)
    # A gradient at the edge of two directions may count for either.
    assert (np.abs(found - expected) < 1e-3).mean() > 0.99
    assert found.dtype == np.float32


@pytest.mark.parametrize("side", [16, 96, 200, 512])
def test_every_size_gives_as_many_numbers(side):
    blank = np.full((2, side, side, 1), 77, np.uint8)

    found = np.asarray(gradient_histograms(blank))

    assert found.shape == (2, CELLS * CELLS * DIRECTIONS)
    np.testing.assert_allclose(found, np.log(1e-3), rtol=1e-5)


def test_brightness_changes_nothing_and_contrast_hardly_anything(textures):
    plain, brighter, stronger = (
        np.asarray(gradient_histograms(image)) for image in (textures, textures + 40, 2 * textures)
    )

    assert (np.abs(brighter - plain) < 1e-3).mean() > 0.99
    assert np.abs(stronger - plain).mean() < 0.1
