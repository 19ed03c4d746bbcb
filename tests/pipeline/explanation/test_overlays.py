import numpy as np
import tensorflow as tf

from pipeline.explanation.overlays import overlay


def test_overlay_leaves_cold_pixels_gray_and_colours_hot_ones():
    images = np.full((1, 2, 1, 1), 100, np.uint8)

    colours = overlay(tf.constant(images), tf.constant([[[0.0], [1.0]]])).numpy()[0, :, 0]

    assert colours[0].tolist() == [100, 100, 100]
    assert len(set(colours[1].tolist())) > 1
