"""Lays heat over the images of a batch, as an operation of TensorFlow that the exported graph runs, too.

`pictures.with_heat` draws the same without TensorFlow; a test compares the two.
"""

import tensorflow as tf

from pipeline.explanation.pictures import IN_LUNG, OUTLINE_COLOR, OUTLINE_STRENGTH, OVERLAY_STRENGTH, palette


def overlay(images: tf.Tensor, heatmaps: tf.Tensor, lungs: tf.Tensor | None = None) -> tf.Tensor:
    """Colors X-rays by their heatmaps, and outlines the lungs; other pixels without heat stay gray.

    Args:
        images: uint8 (batch, height, width, 1).
        heatmaps: float32 (batch, height, width), 0 to 1.
        lungs: how probably each place is in a lung, float32 (batch, any height, any width, 1), 0 to 1; None
            for no outline.

    Returns:
        uint8 (batch, height, width, 3), RGB.
    """
    colors = palette()
    color = tf.gather(tf.constant(colors), tf.cast(tf.round(heatmaps * (len(colors) - 1)), tf.int32))
    share = OVERLAY_STRENGTH * heatmaps[..., None]
    mixed = (1 - share) * tf.cast(images, tf.float32) + share * color
    if lungs is not None:
        line = OUTLINE_STRENGTH * _outline(tf.image.resize(lungs, tf.shape(images)[1:3]))
        mixed = (1 - line) * mixed + line * tf.constant(OUTLINE_COLOR)
    return tf.cast(tf.round(mixed), tf.uint8)


def _outline(lungs: tf.Tensor) -> tf.Tensor:
    """1 where a pixel is in a lung and one beside it is not, else 0; of (batch, height, width, 1), 0 to 1."""
    inside = tf.cast(lungs >= IN_LUNG, tf.float32)
    eroded = -tf.nn.max_pool2d(-inside, 3, 1, "SAME")
    return inside - eroded
