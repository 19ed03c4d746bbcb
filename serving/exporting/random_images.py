"""Images for the warm-up requests and for the comparison of an export with its run."""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


def random_images(side: int, count: int) -> NDArray[np.uint8]:
    """Draws smooth images that differ in brightness and structure; the same arguments give the same images.

    Args:
        side: height and width in pixels.
        count: number of images.

    Returns:
        uint8 (count, side, side, 1), 0 to 255.
    """
    generator = np.random.default_rng(0)
    coarse = generator.uniform(0, 255, (count, 8, 8, 1)) * generator.uniform(0.3, 1, (count, 1, 1, 1))
    smooth = tf.image.resize(coarse, (side, side), method="bilinear")
    return tf.cast(smooth, tf.uint8).numpy()


def encode_png(images: NDArray[np.uint8]) -> list[bytes]:
    """PNG files of images uint8 (count, height, width, 1)."""
    return [tf.io.encode_png(image).numpy() for image in images]
