"""Draws the lungs of an X-ray with the network that is shipped with this package."""

import threading
from collections.abc import Sequence
from importlib.resources import files

import cv2
import numpy as np
from numpy.typing import NDArray

NETWORK_FILE = "finder.onnx"
SIDE = 48
"""Side of the images that the network sees, in pixels."""
SMALLEST_DEVIATION = 1.0
"""Standard deviation of the gray levels of an image, 0 to 255, below which it is blank and has no lungs."""

_of_thread = threading.local()  # a network of OpenCV may be used by one thread at a time


def find_lungs(images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.bool_]]:
    """Draws the lungs, with the shadow of the heart, down to the diaphragm.

    The result for an image depends on its pixels alone, not on the other images or on the number of threads
    that call.

    Args:
        images: preprocessed X-rays, each uint8 (side, side), 0 to 255; any side.

    Returns:
        For each image bool (side, side), true in the lungs.

    Raises:
        ValueError: if the pixels are not uint8, not two-dimensional, or there are none.
    """
    if not hasattr(_of_thread, "network"):
        network = files(__package__).joinpath(NETWORK_FILE).read_bytes()
        _of_thread.network = cv2.dnn.readNetFromONNX(np.frombuffer(network, np.uint8))
    return find_lungs_with(_of_thread.network, images)


def find_lungs_with(network: cv2.dnn.Net, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.bool_]]:
    """Draws the lungs with a network that `tfrecords_builder.lungs.network` wrote; see `find_lungs`."""
    for pixels in images:
        if pixels.dtype != np.uint8 or pixels.ndim != 2 or not pixels.size:  # noqa: PLR2004 - rows, columns
            raise ValueError(
                f"pixels must be a gray image, uint8 (side, side). Received: {pixels.dtype} {pixels.shape}"
            )
    if not len(images):
        return []
    network.setInput(np.stack([network_input(pixels) for pixels in images])[:, None])
    return [_resized(logits, pixels) for logits, pixels in zip(network.forward()[:, 0], images, strict=True)]


def _resized(logits: NDArray[np.float32], pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The lungs at the size of the image, from the logits (SIDE, SIDE). A blank image has none."""
    if cv2.meanStdDev(pixels)[1].item() < SMALLEST_DEVIATION:
        return np.zeros(pixels.shape, np.bool_)
    return cv2.resize(logits, pixels.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0


def network_input(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Resizes an image and scales it to mean 0 and standard deviation 1: float32 (SIDE, SIDE)."""
    interpolation = cv2.INTER_AREA if pixels.shape[0] > SIDE else cv2.INTER_LINEAR
    small = cv2.resize(pixels, (SIDE, SIDE), interpolation=interpolation).astype(np.float32)
    mean, deviation = (value.item() for value in cv2.meanStdDev(small))  # many times as fast as NumPy's
    return (small - np.float32(mean)) / np.float32(max(deviation, SMALLEST_DEVIATION))
