"""Draws one synthetic chest X-ray.

It is not anatomically correct, but it has what the pipeline must cope with: lungs, ribs, spine and heart,
exposures that differ, pneumonias as soft opacities in the lungs whose boxes are known, and a side marker at
the border.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from tfrecords_builder.records import PNEUMONIA

MARKER_REACH = 0.06
"""The marker is in this outermost fraction of the width and of the height."""

Picture = NDArray[np.float32]
"""Brightness (height, width), 0 black to 1 white."""
Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""


def draw(
    generator: np.random.Generator,
    label: int,
    *,
    viral: bool,
    mean_height: int,
    contrast: float,
    marker_strength: float,
) -> tuple[NDArray[np.uint8], list[Box], NDArray[np.bool_]]:
    """Draws one synthetic chest X-ray.

    Args:
        generator: source of everything that is random.
        label: 0 NORMAL, 1 PNEUMONIA.
        viral: whether a pneumonia is several patches in both lungs, and not one large patch.
        mean_height: mean height of the images, in pixels. The height of each differs by up to a tenth.
        contrast: mean brightness that an opacity adds, as a fraction of the full range.
        marker_strength: how strongly the side of the marker depends on the class. 0: not at all. 1: it is
            always on the right for PNEUMONIA and on the left for NORMAL. -1: the other way round.

    Returns:
        uint8 array (height, width), the boxes of the opacities, and the mask of the lungs, bool (height,
        width). As people draw them, the lungs include the part that the heart covers.
    """
    height = round(mean_height * generator.uniform(0.9, 1.1))
    width = round(height * generator.uniform(1.1, 1.35))
    picture, lungs, mask = _draw_chest(generator, height, width)
    boxes = []
    if label == PNEUMONIA:
        patches = generator.integers(3, 6) if viral else 1
        for _ in range(patches):
            radius = generator.uniform(0.05, 0.08) if viral else generator.uniform(0.10, 0.16)
            strength = contrast * generator.uniform(0.6, 1.4)
            opacity, box = _draw_opacity(generator, lungs, radius * width)
            picture += strength * opacity
            boxes.append(box)
    picture = _expose(generator, picture)
    side_of_class = 1 if label == PNEUMONIA else -1
    _draw_marker(picture, right=generator.uniform() < (1 + marker_strength * side_of_class) / 2)
    return np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8), boxes, mask


def _draw_chest(
    generator: np.random.Generator, height: int, width: int
) -> tuple[Picture, Picture, NDArray[np.bool_]]:
    """Draws soft tissue, lungs, bones and heart.

    Returns:
        The picture, how much air is at each pixel, 0 to 1, and the mask of the lungs.
    """
    middle = width * generator.uniform(0.47, 0.53)
    body = _draw_ellipse(height, width, (middle, 0.62 * height), (0.48 * width, 0.66 * height), blur=0.03)
    spread = generator.uniform(0.19, 0.22) * width
    size = (generator.uniform(0.125, 0.15) * width, generator.uniform(0.30, 0.36) * height)
    center_y = generator.uniform(0.46, 0.52) * height
    left = _draw_ellipse(height, width, (middle - spread, center_y), size, blur=0.015)
    right = _draw_ellipse(height, width, (middle + spread, center_y), size, blur=0.015)
    heart_size = (generator.uniform(0.10, 0.14) * width, generator.uniform(0.15, 0.2) * height)
    heart = _draw_ellipse(height, width, (middle + 0.07 * width, 0.64 * height), heart_size, blur=0.02)
    both = np.clip(left + right, 0, 1)
    lungs = both * (1 - 0.85 * heart)
    spine = _draw_ellipse(height, width, (middle, 0.5 * height), (0.035 * width, 0.7 * height), blur=0.012)
    picture = 0.06 + 0.5 * body - 0.33 * lungs + 0.12 * heart + 0.16 * spine * body
    picture += 0.07 * _draw_ribs(generator, height, width, middle) * body
    coarse = cv2.resize(
        generator.normal(0, 1, (9, 11)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    vessels = cv2.GaussianBlur(generator.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 2.0)
    picture += 0.025 * coarse * body + 0.10 * vessels * lungs
    return picture.astype(np.float32), lungs, both > 0.5  # noqa: PLR2004 - the middle of their soft edge


def _draw_ellipse(
    height: int, width: int, center: tuple[float, float], axes: tuple[float, float], blur: float
) -> Picture:
    """Draws a filled ellipse, 1 inside and 0 outside, whose edge is blurred by `blur` times the width."""
    mask = np.zeros((height, width), np.float32)
    cv2.ellipse(mask, (center, (2 * axes[0], 2 * axes[1]), 0.0), 1.0, thickness=-1)
    return cv2.GaussianBlur(mask, (0, 0), blur * width)  # type: ignore[return-value]


def _draw_ribs(generator: np.random.Generator, height: int, width: int, middle: float) -> Picture:
    """Draws arcs that descend from the spine to the sides."""
    ribs = np.zeros((height, width), np.float32)
    tilt = generator.uniform(10, 18)
    thickness = max(2, round(0.016 * height))
    for top in np.linspace(0.12, 0.8, 9) * height:
        for side in (-1, 1):
            center = (round(middle + side * 0.2 * width), round(top + 0.09 * height))
            axes = (round(0.22 * width), round(0.10 * height))
            cv2.ellipse(ribs, center, axes, side * tilt, 180, 360, 1.0, thickness, cv2.LINE_AA)
    return cv2.GaussianBlur(ribs, (0, 0), 0.005 * width)  # type: ignore[return-value]


def _draw_opacity(generator: np.random.Generator, lungs: Picture, radius: float) -> tuple[Picture, Box]:
    """Draws a soft patch inside the lungs; returns it, and its box."""
    height, width = lungs.shape
    rows, columns = np.nonzero(lungs > 0.8)  # noqa: PLR2004 - away from the edge of the lungs
    chosen = generator.integers(len(rows))
    axes = radius * generator.uniform(0.7, 1.3, 2)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    distance = ((x - columns[chosen]) / axes[0]) ** 2 + ((y - rows[chosen]) / axes[1]) ** 2
    cloud = cv2.GaussianBlur(generator.normal(0, 1, lungs.shape).astype(np.float32), (0, 0), radius / 4)
    cloud = 1 + 0.35 * cloud / max(float(cloud.std()), 1e-6)
    patch = np.exp(-distance) * np.clip(cloud, 0.2, 2) * lungs
    patch = (patch / patch.max()).astype(np.float32)
    x0, y0, box_width, box_height = cv2.boundingRect((patch > 0.25).astype(np.uint8))  # noqa: PLR2004 - where it can be seen
    return patch, (x0, y0, box_width, box_height)


def _expose(generator: np.random.Generator, picture: Picture) -> Picture:
    """Changes gamma, contrast and brightness and adds noise, as machines and their settings differ."""
    gamma = np.exp(generator.uniform(-0.25, 0.25))
    exposed = np.clip(picture, 0, 1) ** gamma * generator.uniform(0.85, 1.15) + generator.uniform(-0.05, 0.08)
    noise = generator.normal(0, generator.uniform(0.01, 0.03), picture.shape)
    return np.asarray(exposed + noise, dtype=np.float32)


def _draw_marker(picture: Picture, *, right: bool) -> None:
    """Draws a bright tag into one of the upper corners."""
    height, width = picture.shape
    tag_height, tag_width = int(MARKER_REACH * height), int(MARKER_REACH * width)
    left = width - tag_width if right else 0
    picture[1:tag_height, left + 1 : left + tag_width - 1] = 0.97
