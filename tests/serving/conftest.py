"""Image files of several kinds."""

import cv2
import numpy as np
import pytest


@pytest.fixture
def encoded_images(images) -> list[bytes]:
    """Twelve images, larger than the model's, as PNG, JPEG, BMP and coloured PNG."""
    kinds = (".png", ".jpg", ".bmp", ".png")
    return [_encoded(image, kinds[position % 4], position) for position, image in enumerate(images)]


def _encoded(image: np.ndarray, suffix: str, position: int) -> bytes:
    larger = cv2.resize(image[..., 0], (90 + position, 80), interpolation=cv2.INTER_CUBIC)
    if position % 4 == 3:
        larger = cv2.applyColorMap(larger, cv2.COLORMAP_BONE)
    return cv2.imencode(suffix, larger)[1].tobytes()
