"""PNGs with 16 bits per sample: by their range, or by their high byte as in records of before."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests.tfrecords_builder.decoding.both_decoders import in_both
from tfrecords_builder.decoding import decode, decode_in_graph

TWELVE_BITS = np.array([[0, 100, 1000], [2000, 3000, 4095]], np.uint16)


def as_png(levels: np.ndarray) -> bytes:
    return cv2.imencode(".png", levels)[1].tobytes()


@pytest.mark.parametrize("factor", [1, 16])  # in the low bits, and in the high bits
def test_images_of_12_bits_keep_their_levels(factor):
    expected = [[0, 6, 62], [125, 187, 255]]  # 255 * value / 4095, rounded

    np.testing.assert_array_equal(in_both(as_png(TWELVE_BITS * factor)), expected)


def test_values_of_0_to_255_are_not_black():
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)

    np.testing.assert_array_equal(in_both(as_png(levels)), levels)


def test_the_darkest_pixel_becomes_black_and_the_brightest_white():
    levels = np.array([[30000, 30001, 30003, 30004]], np.uint16)

    np.testing.assert_array_equal(in_both(as_png(levels)), [[0, 64, 191, 255]])


@pytest.mark.parametrize("level", [0, 77, 65535])
def test_an_image_of_one_level_is_black(level):
    np.testing.assert_array_equal(in_both(as_png(np.full((3, 4), level, np.uint16))), np.zeros((3, 4)))


def test_the_range_of_colors_is_that_of_their_luma():
    bgr = np.array([[[0, 0, 0], [0, 0, 4000], [0, 4000, 0], [4000, 0, 0], [4000, 4000, 4000]]], np.uint16)
    weights = np.array([3735, 19235, 9798]) / (1 << 15)  # of blue, green and red: ITU-R BT.601

    np.testing.assert_array_equal(in_both(as_png(bgr)), np.rint(bgr @ weights / 4000 * 255))


def test_transparency_is_ignored():
    bgra = np.dstack(
        [np.repeat(TWELVE_BITS[..., None], 3, -1), np.array([[0, 65535, 9], [1, 2, 3]], np.uint16)]
    )

    np.testing.assert_array_equal(in_both(as_png(bgra)), in_both(as_png(TWELVE_BITS)))


def test_images_of_8_bits_are_not_spread():
    levels = np.array([[100, 101, 102]], np.uint8)

    np.testing.assert_array_equal(in_both(as_png(levels)), levels)


def test_records_of_before_dropped_the_low_byte():
    encoded = as_png(np.array([[0, 255, 256, 511, 32768, 65535]], np.uint16))

    expected = [[0, 0, 1, 1, 128, 255]]
    np.testing.assert_array_equal(decode(encoded, "high_byte"), expected)
    np.testing.assert_array_equal(decode_in_graph(tf.constant(encoded), "high_byte").pixels[..., 0], expected)
