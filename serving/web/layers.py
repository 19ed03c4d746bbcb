"""Draws what the page lays over one another: the X-ray, the heat and the outline of the lungs."""

import base64
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.explanation.pictures import OUTLINE_COLOR, outline, palette, with_longest_side
from serving.client.answers import Explanation
from serving.web.replies import Layers

LARGEST_SIDE = 1024  # pixels of the X-ray on the page
_JPEG_QUALITY = 90
_OUTLINE_SIDE = 480  # pixels


def draw_layers(xray: NDArray[np.uint8], answer: Explanation) -> Layers:
    """Draws the layers of a valid answer.

    Args:
        xray: uint8 (height, width), as decoded from its file.
        answer: the answer about it.
    """
    shrunk = with_longest_side(xray, 1, LARGEST_SIDE)
    return Layers(
        xray_jpeg=_encode(".jpg", shrunk, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]),
        heat_png=_encode(".png", _heat(answer.heatmap)),
        lungs_png=None if answer.lungs is None else _encode(".png", _outline(answer.lungs)),
    )


def _heat(heatmap: NDArray[np.float32]) -> NDArray[np.uint8]:
    """BGRA: the color of the heat, as opaque as it is hot."""
    level = np.rint(255 * heatmap).astype(np.uint8)
    colors = np.rint(palette()).astype(np.uint8)[level]
    return np.dstack([colors[..., ::-1], level])


def _outline(lungs: NDArray[np.float32]) -> NDArray[np.uint8]:
    """BGRA: the outline in its color, everything else transparent."""
    picture = np.zeros((_OUTLINE_SIDE, _OUTLINE_SIDE, 4), np.uint8)
    picture[outline(lungs, picture.shape[:2])] = (*OUTLINE_COLOR[::-1], 255)
    return picture


def _encode(suffix: str, picture: NDArray[Any], parameters: list[int] | None = None) -> str:
    return base64.b64encode(cv2.imencode(suffix, picture, parameters or [])[1].tobytes()).decode("ascii")
