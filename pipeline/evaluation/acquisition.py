"""Fixed changes of an X-ray, as another hospital may expose, focus, position or scan it differently.

They are written with OpenCV and NumPy, independently of the augmentation of the training, so that a mistake
in the augmentation cannot hide here.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""(side, side), 0 to 255."""
Change = Callable[[Image], Image]


def _gamma(exponent: float) -> Change:
    table = np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
    return lambda image: table[image]


def _linear(contrast: float, brightness: float) -> Change:
    """Contrast about middle gray; brightness as a fraction of the full range."""
    table = np.clip((np.arange(256) - 127.5) * contrast + 127.5 + 255 * brightness, 0, 255)
    return lambda image: np.rint(table).astype(np.uint8)[image]


def _blur(share_of_side: float) -> Change:
    """Gaussian blur; the standard deviation is a fraction of the image's side."""
    return lambda image: cv2.GaussianBlur(image, (0, 0), share_of_side * image.shape[0])  # type: ignore[return-value]


def _noise(deviation: float) -> Change:
    """Gaussian noise, the same for every image; the standard deviation is a fraction of the full range."""

    def add(image: Image) -> Image:
        noise = np.random.default_rng(0).normal(0, 255 * deviation, image.shape)
        return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)

    return add


def _affine(width: float, height: float, degrees: float) -> Change:
    """Stretches and turns about the center; pixels from outside the image repeat its edge."""

    def warp(image: Image) -> Image:
        center = (image.shape[0] - 1) / 2
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([width, height])
        offset = np.array([center, center]) - linear @ [center, center]
        matrix = np.column_stack([linear, offset])
        return cv2.warpAffine(  # type: ignore[return-value]
            image, matrix, image.shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )

    return warp


CHANGES: dict[str, Change] = {
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
    "aspect x 1.3": _affine(1.3**0.5, 1.3**-0.5, 0),
    "aspect / 1.3": _affine(1.3**-0.5, 1.3**0.5, 0),
    "turned 5 degrees": _affine(1.0, 1.0, 5),
}
"""The changes by the names that `metrics.json` and the page give them."""


def change_images(images: NDArray[np.uint8], change: Change) -> NDArray[np.uint8]:
    """Returns changed copies of images uint8 (batch, side, side, 1)."""
    return np.stack([change(image[..., 0]) for image in images])[..., None]
