"""Known changes of the acquisition, to see what a classifier makes of X-rays of another hospital.

Validation images of one source saturate every metric; what differs between models is how they take an image
that was exposed, focused or framed otherwise. The changes are fixed and written with OpenCV and numpy,
independently of the augmentation of the training.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def _gamma(exponent: float) -> Callable[[Image], Image]:
    table = np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
    return lambda image: table[image]


def _linear(contrast: float, brightness: float) -> Callable[[Image], Image]:
    """Contrast about middle grey; brightness as a fraction of the full range."""
    table = np.clip((np.arange(256) - 127.5) * contrast + 127.5 + 255 * brightness, 0, 255)
    return lambda image: np.rint(table).astype(np.uint8)[image]


def _blur(share_of_side: float) -> Callable[[Image], Image]:
    return lambda image: cv2.GaussianBlur(image, (0, 0), share_of_side * image.shape[0])  # type: ignore[return-value]


def _noise(deviation: float) -> Callable[[Image], Image]:
    """Gaussian noise, the same for every image; the deviation is a fraction of the full range."""

    def add(image: Image) -> Image:
        noise = np.random.default_rng(0).normal(0, 255 * deviation, image.shape)
        return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)

    return add


def _affine(width: float, height: float, degrees: float) -> Callable[[Image], Image]:
    """Stretches and turns about the centre; what comes in from outside repeats the edge."""

    def warp(image: Image) -> Image:
        centre = (image.shape[0] - 1) / 2
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([width, height])
        offset = np.array([centre, centre]) - linear @ [centre, centre]
        matrix = np.column_stack([linear, offset])
        return cv2.warpAffine(  # type: ignore[return-value]
            image, matrix, image.shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )

    return warp


CHANGES: dict[str, Callable[[Image], Image]] = {
    "darker (gamma 1.4)": _gamma(1.4),
    "brighter (gamma 0.7)": _gamma(0.7),
    "contrast x 0.7": _linear(0.7, 0.0),
    "contrast x 1.3": _linear(1.3, 0.0),
    "brightness + 0.1": _linear(1.0, 0.1),
    "brightness - 0.1": _linear(1.0, -0.1),
    "blurred": _blur(1 / 100),
    "noise 0.03": _noise(0.03),
    "wider x 1.1": _affine(1.1, 1.0, 0),
    "taller x 1.1": _affine(1.0, 1.1, 0),
    "turned 5 degrees": _affine(1.0, 1.0, 5),
}
"""Each takes and returns a uint8 image (side, side), 0 to 255."""


def changed(images: NDArray[np.uint8], change: Callable[[Image], Image]) -> NDArray[np.uint8]:
    """Applies one change to uint8 images (batch, side, side, 1)."""
    return np.stack([change(image[..., 0]) for image in images])[..., None]
