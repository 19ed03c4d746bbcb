from fractions import Fraction

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tfrecords_builder.area_resize import resize_by_area


def shares(size: int, side: int) -> np.ndarray:
    """Share of each pixel in each cell by rational arithmetic, (side, size)."""
    cell = Fraction(size, side)

    def share(row: int, pixel: int) -> Fraction:
        overlap = min((row + 1) * cell, Fraction(pixel + 1)) - max(row * cell, Fraction(pixel))
        return max(Fraction(0), overlap) / cell

    return np.array([[share(row, pixel) for pixel in range(size)] for row in range(side)])


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize(("height", "width", "side"), [(37, 50, 16), (16, 16, 16), (40, 9, 16), (7, 5, 20)])
def test_it_is_the_mean_of_each_cell(height, width, side, in_graph):
    image = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    expected = shares(height, side) @ image.astype(object) @ shares(width, side).T

    resize = tf.function(resize_by_area) if in_graph else resize_by_area
    found = resize(tf.constant(image), side)

    np.testing.assert_allclose(found, expected.astype(float), atol=1e-12)
    assert found.dtype == tf.float64


@pytest.mark.parametrize(("height", "width"), [(190, 190), (798, 1092), (1108, 1560), (5840, 101)])
def test_every_pixel_is_that_of_opencv(height, width):
    image = np.random.default_rng(1).integers(0, 256, (height, width), dtype=np.uint8)

    found = np.rint(resize_by_area(tf.constant(image), 96))

    np.testing.assert_array_equal(found, cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA))
