"""The shape that images had before they were squashed: what it tells of the class, and if pixels show it.

Datasets are often published with all images squashed to one size. The aspect ratio of the original file is
gone then, but not the distortion: a model can still read it from the pixels and use it as a shortcut.
"""

import csv
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from tfrecords_builder.audit.measurements import Measurements
from tfrecords_builder.audit.shortcuts import Shortcut, measure_values
from tfrecords_builder.errors import UserError

COLUMNS = ("file", "width", "height")
QUANTITY = "original aspect ratio"
FOLDS = 5
MIN_PATIENTS = 20
"""With fewer patients, the estimate from pixels would say nothing."""

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class OriginalShape:
    """What the aspect ratio of the original files tells."""

    images: int
    """Number of images whose original size the table has."""
    shortcut: Shortcut
    """How well the original aspect ratio alone predicts the class."""
    read_from_pixels: float | None
    """Coefficient of determination (R squared, at most 1) of the logarithm of the original aspect ratio,
    estimated from the pixels of each image alone by a linear model of other patients. Above 0 the pixels show
    the shape. None with fewer than MIN_PATIENTS patients."""


def read_sizes(table: str) -> dict[str, float]:
    """Reads the aspect ratios of original files.

    Args:
        table: CSV file with the columns `file` (path relative to the source), `width` and `height` in pixels.

    Returns:
        Width divided by height, by file.

    Raises:
        UserError: if it cannot be read, a column is missing, or a size is no positive number.
    """
    try:
        with Path(table).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the table of sizes {table!r} cannot be read: {error}") from None
    if not rows or any(column not in rows[0] for column in COLUMNS):
        found = list(rows[0]) if rows else "no row"
        raise UserError(f"{table!r} needs rows with the columns {', '.join(COLUMNS)}. Received: {found}")
    aspects = {}
    for number, row in enumerate(rows):
        try:
            width, height = float(row["width"]), float(row["height"])
        except (TypeError, ValueError):
            width = height = 0
        if width <= 0 or height <= 0:
            raise UserError(
                f"row {number + 1} of {table!r} has no positive width and height. "
                f"Received: {row['width']!r}, {row['height']!r}"
            )
        aspects[row["file"]] = width / height
    return aspects


def measure_original_shape(measured: Sequence[Measurements], table: str) -> OriginalShape:
    """Measures what the original aspect ratio tells of the class, and how well the pixels show it.

    Raises:
        UserError: if the table cannot be read or has none of the images.
    """
    aspects = read_sizes(table)
    known = [m for m in measured if m.image.source in aspects]
    if not known:
        raise UserError(
            f"{table!r} has none of the images: expected paths as {measured[0].image.source!r}, "
            f"received paths as {next(iter(aspects))!r}"
            if measured
            else f"there are no readable images for the sizes in {table!r}"
        )
    if len(known) < len(measured):
        logger.warning("%d of %d images are not in %r", len(measured) - len(known), len(measured), table)
    values = np.array([aspects[m.image.source] for m in known])
    return OriginalShape(
        len(known), measure_values(known, QUANTITY, values), _read_from_pixels(known, values)
    )


def _read_from_pixels(measured: Sequence[Measurements], aspects: NDArray[np.float64]) -> float | None:
    patients = np.array([m.image.patient for m in measured])
    if len(np.unique(patients)) < MIN_PATIENTS:
        return None
    pixels = np.stack([np.frombuffer(m.thumbnail, np.uint8) for m in measured]).astype(np.float64)
    pixels -= pixels.mean(axis=1, keepdims=True)
    pixels /= pixels.std(axis=1, keepdims=True) + 1
    model, logarithms = RidgeCV(np.logspace(-1, 4, 6)), np.log(aspects)
    estimated = cross_val_predict(model, pixels, logarithms, groups=patients, cv=GroupKFold(FOLDS))
    return float(r2_score(logarithms, estimated))
