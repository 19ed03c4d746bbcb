"""Pictures of explanations for people: the whole X-ray with heat, the lungs' outline, and what was answered.

The command `pipeline.gradcam`, the page of an evaluation, the client and the web service draw with these
functions. They need no TensorFlow; `overlays` has the operations that the exported graph draws with.
"""

from collections.abc import Sequence

import cv2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

COLORMAP = "inferno"  # its lightness rises evenly, so that heat is also readable in gray print
OVERLAY_STRENGTH = 0.5
"""Share of color in a pixel of heatmap value 1; the rest is the X-ray."""
OUTLINE_COLOR = (90.0, 200.0, 255.0)  # RGB; the colors of heat have no blue
OUTLINE_STRENGTH = 0.45
"""Share of OUTLINE_COLOR in the outline of the lungs; the rest is the picture below."""
IN_LUNG = 0.5
"""Smallest probability of a place that counts as lung."""
SMALLEST_SIDE = 512  # pixels; smaller X-rays are enlarged, so that the caption can be read
LARGEST_SIDE = 4096  # pixels; larger X-rays are shrunk

_PIXELS_PER_OUTLINE = 400  # an outline is one pixel wide for every so many pixels of the picture
_FRAME_GRAY = 128
_CHARACTERS_IN_LINE = 62  # of a caption
_LINES_IN_HEIGHT = 22  # of the picture, at least
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_WIDTH = 18.0  # pixels of a character at scale 1
_LINE_HEIGHT = 44.0  # pixels at scale 1


def palette() -> NDArray[np.float32]:
    """The colors of heat: float32 (256, 3), RGB, 0 to 255."""
    colors = mpl.colormaps[COLORMAP](np.arange(256))[:, :3]
    return np.asarray(255 * colors, dtype=np.float32)


def caption(
    label: str,
    probability: float,
    threshold: float | None = None,
    *,
    evidence: float | None = None,
    version: int | None = None,
    warning: str = "",
) -> list[str]:
    """What was answered about an X-ray, in lines of text. What is None is left out."""
    first = f"{label}  probability of pneumonia {probability:.3f}"
    if threshold is not None:
        first += f", threshold {threshold:.3f}"
    parts = [] if evidence is None else [f"colors: evidence for {label}, strength {evidence:.1f}"]
    parts += [] if version is None else [f"model version {version}"]
    lines = [first, ", ".join(parts), f"WARNING: {warning}" if warning else ""]
    return [line for line in lines if line]


def draw_explanation(
    xray: NDArray[np.uint8],
    heatmap: NDArray[np.float32],
    region: Sequence[float],
    text: Sequence[str],
    lungs: NDArray[np.float32] | None = None,
    *,
    beside_plain: bool = False,
) -> NDArray[np.uint8]:
    """Draws the whole X-ray with heat over the part that the model saw, a frame around it, and text above.

    The picture has the X-ray's own size, within SMALLEST_SIDE and LARGEST_SIDE.

    Args:
        xray: uint8 (height, width), as decoded from its file.
        heatmap: float32 (side, side), 0 to 1.
        region: top, left, bottom and right of the part that the model saw, as shares of height and width.
        text: lines above the picture.
        lungs: how probably each place of this part is in a lung, float32 (any height, any width), 0 to 1;
            None for no outline.
        beside_plain: draw the X-ray without heat beside it, too.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    gray = with_longest_side(xray, SMALLEST_SIDE, LARGEST_SIDE)
    picture = _with_heat_inside(gray, heatmap, region, lungs)
    if beside_plain:
        picture = np.hstack([np.repeat(gray[..., None], 3, axis=-1), picture])
    return _with_text(picture, text)


def with_heat(
    image: NDArray[np.uint8], heatmap: NDArray[np.float32], lungs: NDArray[np.float32] | None = None
) -> NDArray[np.uint8]:
    """Colors an image by its heatmap, and outlines the lungs; other pixels without heat stay gray.

    Args:
        image: uint8 (height, width).
        heatmap: float32 (any height, any width), 0 to 1; it covers the image.
        lungs: how probably each place is in a lung, float32 (any height, any width), 0 to 1; None for no
            outline.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    height, width = image.shape
    colors = palette()
    heat = cv2.resize(heatmap, (width, height), interpolation=cv2.INTER_LINEAR)
    share = OVERLAY_STRENGTH * heat[..., None]
    color = colors[np.rint(heat * (len(colors) - 1)).astype(np.uint8)]
    mixed = (1 - share) * image[..., None] + share * color
    if lungs is not None:
        line = outline(lungs, (height, width))
        mixed[line] = (1 - OUTLINE_STRENGTH) * mixed[line] + OUTLINE_STRENGTH * np.array(OUTLINE_COLOR)
    return np.rint(mixed).astype(np.uint8)


def outline(lungs: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where the edge of the lungs is in a picture.

    Args:
        lungs: how probably each place is in a lung, float32 (any height, any width), 0 to 1.
        size: height and width of the picture.

    Returns:
        bool (height, width): true for the outermost pixels of the lungs. The line is wider in large pictures.
    """
    height, width = size
    enlarged = cv2.resize(lungs, (width, height), interpolation=cv2.INTER_LINEAR)
    inside = (enlarged >= IN_LUNG).astype(np.uint8)
    thickness = max(1, min(size) // _PIXELS_PER_OUTLINE)
    eroded = cv2.erode(inside, np.ones((3, 3), np.uint8), iterations=thickness)
    return inside > eroded


def with_longest_side(xray: NDArray[np.uint8], smallest: int, largest: int) -> NDArray[np.uint8]:
    """Enlarges or shrinks an image (height, width) whose longer side is outside these limits, in pixels."""
    height, width = xray.shape
    scale = min(max(1.0, smallest / max(height, width)), largest / max(height, width))
    if scale == 1:
        return xray
    size = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(xray, size, interpolation=interpolation)  # type: ignore[return-value]


def _with_heat_inside(
    gray: NDArray[np.uint8],
    heatmap: NDArray[np.float32],
    region: Sequence[float],
    lungs: NDArray[np.float32] | None,
) -> NDArray[np.uint8]:
    height, width = gray.shape
    top, left = _pixels(region[0], height), _pixels(region[1], width)
    bottom, right = height - _pixels(1 - region[2], height), width - _pixels(1 - region[3], width)
    picture = np.repeat(gray[..., None], 3, axis=-1)
    picture[top:bottom, left:right] = with_heat(gray[top:bottom, left:right], heatmap, lungs)
    frame = (_FRAME_GRAY,) * 3
    return cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), frame, 1)  # type: ignore[return-value]


def _pixels(share: float, size: int) -> int:
    """Whole pixels of a share, as `Preprocessing` counts them; float32 must not make them one less."""
    return int(round(share, 6) * size)


def _with_text(picture: NDArray[np.uint8], text: Sequence[str]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    fits = width / (_FONT_WIDTH * max(_CHARACTERS_IN_LINE, *map(len, text)))
    scale = min(fits, height / (_LINE_HEIGHT * _LINES_IN_HEIGHT))
    line_height = _LINE_HEIGHT * scale
    header = np.zeros((round(line_height * (len(text) + 0.4)), width, 3), np.uint8)
    thickness = max(1, round(2 * scale))
    for number, line in enumerate(text, 1):
        place = round(0.4 * line_height), round(line_height * number)
        cv2.putText(header, line, place, _FONT, scale, (255, 255, 255), thickness, cv2.LINE_AA)
    return np.vstack([header, picture])
