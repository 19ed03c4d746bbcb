"""Draws the lungs of an X-ray with the network that is shipped with this package."""

import threading
from importlib.resources import files

import cv2
import numpy as np
from numpy.typing import NDArray

NETWORK_FILE = "finder.onnx"
SIDE = 64
"""Side of the images that the network sees, in pixels."""
SMALLEST_DEVIATION = 1.0
"""Standard deviation of the gray levels of an image, 0 to 255, below which it is blank and has no lungs."""

_of_thread = threading.local()  # a network of OpenCV may be used by one thread at a time


def find_lungs(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Draws the lungs, with the shadow of the heart, down to the diaphragm.

    The result depends on the pixels alone, not on the number of threads that call.

    Args:
        pixels: a preprocessed X-ray, uint8 (side, side), 0 to 255; any side.

    Returns:
        bool (side, side), true in the lungs.

    Raises:
        ValueError: if the pixels are not uint8, not two-dimensional, or there are none.
    """
    if not hasattr(_of_thread, "network"):
        network = files(__package__).joinpath(NETWORK_FILE).read_bytes()
        _of_thread.network = cv2.dnn.readNetFromONNX(np.frombuffer(network, np.uint8))
    return find_lungs_with(_of_thread.network, pixels)


def find_lungs_with(network: cv2.dnn.Net, pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Draws the lungs with a network that `tfrecords_builder.lungs.network` wrote; see `find_lungs`."""
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or not pixels.size:  # noqa: PLR2004 - rows and columns
        raise ValueError(
            f"pixels must be a gray image, uint8 (side, side). Received: {pixels.dtype} {pixels.shape}"
        )
    if pixels.std() < SMALLEST_DEVIATION:
        return np.zeros(pixels.shape, np.bool_)
    network.setInput(network_input(pixels)[None, None])
    logits = network.forward()[0, 0]
    return cv2.resize(logits, pixels.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0


def network_input(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Resizes an image and scales it to mean 0 and standard deviation 1: float32 (SIDE, SIDE)."""
    interpolation = cv2.INTER_AREA if pixels.shape[0] > SIDE else cv2.INTER_LINEAR
    small = cv2.resize(pixels, (SIDE, SIDE), interpolation=interpolation).astype(np.float32)
    return (small - small.mean()) / max(float(small.std()), SMALLEST_DEVIATION)
