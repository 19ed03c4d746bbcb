"""Pictures of explanations: heat laid over X-rays."""

import cv2
import matplotlib as mpl
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfrecords_builder import Preprocessing

COLORMAP = "inferno"  # its lightness rises evenly, so that heat is also readable in gray print
OVERLAY_STRENGTH = 0.5
"""Share of color in a pixel of heatmap value 1; the rest is the X-ray."""
PICTURE_HEIGHT = 512  # pixels
CAPTION_HEIGHT = 32  # pixels
OUTLINE_COLOR = (90.0, 200.0, 255.0)  # RGB; the colors of heat have no blue
OUTLINE_STRENGTH = 0.45
"""Share of OUTLINE_COLOR in the outline of the lungs; the rest is the picture below."""


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
    palette = _palette()
    color = tf.gather(tf.constant(palette), tf.cast(tf.round(heatmaps * (len(palette) - 1)), tf.int32))
    share = OVERLAY_STRENGTH * heatmaps[..., None]
    mixed = (1 - share) * tf.cast(images, tf.float32) + share * color
    if lungs is not None:
        line = OUTLINE_STRENGTH * _outline(tf.image.resize(lungs, tf.shape(images)[1:3]))
        mixed = (1 - line) * mixed + line * tf.constant(OUTLINE_COLOR)
    return tf.cast(tf.round(mixed), tf.uint8)


def _outline(lungs: tf.Tensor) -> tf.Tensor:
    """1 where a pixel is in a lung and one beside it is not, else 0; of (batch, height, width, 1), 0 to 1."""
    inside = tf.cast(lungs >= 0.5, tf.float32)  # noqa: PLR2004 - as probably lung as not
    eroded = -tf.nn.max_pool2d(-inside, 3, 1, "SAME")
    return inside - eroded


def _palette() -> NDArray[np.float32]:
    """The colors of heat: float32 (256, 3), RGB, 0 to 255."""
    colors = mpl.colormaps[COLORMAP](np.arange(256))[:, :3]
    return np.asarray(255 * colors, dtype=np.float32)


def side_by_side(
    xray: NDArray[np.uint8],
    heatmap: NDArray[np.float32],
    preprocessing: Preprocessing,
    caption: str,
    lungs: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """Draws the whole X-ray, and beside it the same X-ray with heat over the part that the model saw.

    Args:
        xray: uint8 (height, width), as decoded from its file.
        heatmap: float32 (side, side), 0 to 1.
        preprocessing: what the model was trained with; its border is the part that the model did not see.
        caption: text above the picture.
        lungs: how probably each place of what the model saw is in a lung, float32 (any height, any width), 0
            to 1; None for no outline.

    Returns:
        uint8 (CAPTION_HEIGHT + PICTURE_HEIGHT, width, 3), BGR.
    """
    gray = _with_height(xray, PICTURE_HEIGHT)
    plain = np.repeat(gray[..., None], 3, axis=-1)
    explained = _with_heat(plain, heatmap, preprocessing.border, lungs)
    picture = np.hstack([plain, explained])
    header = np.zeros((CAPTION_HEIGHT, picture.shape[1], 3), np.uint8)
    cv2.putText(header, caption, (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([header, picture])


def _with_height(xray: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    scale = height / xray.shape[0]
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    width = max(1, round(xray.shape[1] * scale))
    return cv2.resize(xray, (width, height), interpolation=interpolation)  # type: ignore[return-value]


def _with_heat(
    plain: NDArray[np.uint8],
    heatmap: NDArray[np.float32],
    border: float,
    lungs: NDArray[np.float32] | None,
) -> NDArray[np.uint8]:
    """A copy of a BGR picture with heat and lungs inside its border, and a gray frame around them."""
    height, width = plain.shape[:2]
    top, left = int(height * border), int(width * border)
    heat = cv2.resize(heatmap, (width - 2 * left, height - 2 * top), interpolation=cv2.INTER_LINEAR)
    seen = plain[top : height - top, left : width - left, :1]
    explained = plain.copy()
    outlined = None if lungs is None else lungs[None, ..., None]
    picture = overlay(seen[None], heat[None], outlined).numpy()[0, ..., ::-1]
    explained[top : height - top, left : width - left] = picture
    cv2.rectangle(explained, (left, top), (width - left - 1, height - top - 1), (128, 128, 128), 1)
    return explained
