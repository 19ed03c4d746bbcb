"""Decoding a JPEG at a fraction of its size."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests.tfrecords_builder.image_files import image_files
from tfrecords_builder.decoding import decode, decode_in_graph, decode_reduced
from tfrecords_builder.decoding.reduction import FACTORS, reduction

HEIGHT, WIDTH = 203, 261
FLAGS = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


@pytest.mark.parametrize(
    ("height", "width", "smallest_side", "expected"),
    [
        (800, 1000, None, 1),
        (800, 1000, 401, 1),
        (800, 1000, 400, 2),
        (1000, 800, 400, 2),
        (800, 1000, 200, 4),
        (800, 1000, 101, 4),
        (800, 1000, 100, 8),
        (800, 1000, 10, 8),
    ],
)
def test_the_largest_factor_that_leaves_enough_is_chosen(height, width, smallest_side, expected):
    assert reduction(height, width, smallest_side) == expected


@pytest.mark.parametrize("factor", [1, *FACTORS])
def test_opencv_and_tensorflow_decode_the_same_pixels(factor):
    smallest_side = HEIGHT // factor

    for kind, encoded in image_files(HEIGHT, WIDTH).items():
        decoded = decode_reduced(encoded, smallest_side=smallest_side)
        theirs = decode_in_graph(tf.constant(encoded), smallest_side=smallest_side)
        np.testing.assert_array_equal(decoded.pixels, theirs.pixels[..., 0], err_msg=kind)
        assert decoded.is_reduced == theirs.is_reduced.numpy(), kind
        assert (decoded.height, decoded.width) == decode(encoded).shape, kind


@pytest.mark.parametrize("factor", [1, *FACTORS])
def test_they_are_those_of_libjpeg(factor):
    jpeg = image_files(HEIGHT, WIDTH)["gray jpeg"]

    decoded = decode_reduced(jpeg, smallest_side=HEIGHT // factor)

    expected = cv2.imdecode(np.frombuffer(jpeg, np.uint8), FLAGS[factor])
    np.testing.assert_array_equal(decoded.pixels, expected)
    assert decoded.pixels.shape == (-(-HEIGHT // factor), -(-WIDTH // factor))


def test_only_jpegs_of_luma_are_reduced():
    whole = {
        kind
        for kind, encoded in image_files(HEIGHT, WIDTH).items()
        if decode_reduced(encoded, smallest_side=20).pixels.shape == decode(encoded).shape
    }

    assert whole == {
        kind for kind in image_files(HEIGHT, WIDTH) if "jpeg" not in kind or "cmyk" in kind.lower()
    }
