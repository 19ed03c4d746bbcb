"""Turns stored values into gray: rescaling, window and inversion, or lookup tables (DICOM PS3.3, C.11)."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tfrecords_builder.decoding.dicom.lookup_table import LookupTable

if TYPE_CHECKING:
    import pydicom

Floats = NDArray[np.float64]


def to_gray(stored: NDArray[np.int64], dataset: "pydicom.Dataset") -> NDArray[np.uint8]:
    """Turns the stored values of an image into gray levels.

    Args:
        stored: int64 (values,), every stored value of the image once.
        dataset: the elements that say how to show them.

    Returns:
        uint8 (values,), 0 black to 255 white.
    """
    for shown in _displays(stored.astype(np.float64), dataset):
        gray = np.rint(shown * 255).astype(np.uint8)
        if stored.size == 1 or gray.min() < gray.max():
            break  # otherwise it would be a blank image
    return np.invert(gray) if _is_inverted(dataset) else gray


def _displays(stored: Floats, dataset: "pydicom.Dataset") -> Iterator[Floats]:
    """Gives what a viewer may show, 0 black to 1 white, the best first."""
    if (rescaled := _rescale(stored, dataset)) is not None:
        if (table := _first(dataset, "VOILUTSequence")) is not None:
            yield LookupTable.of(table, dataset).relative(rescaled)
        if (windowed := _window(rescaled, dataset)) is not None:
            yield windowed
        yield _range(rescaled)
    yield _range(stored)


def _rescale(stored: Floats, dataset: "pydicom.Dataset") -> Floats | None:
    """Applies the modality LUT, or slope and intercept; None if they make all values one, or no number."""
    if (table := _first(dataset, "ModalityLUTSequence")) is not None:
        return LookupTable.of(table, dataset).values(stored)
    slope, intercept = _number(dataset, "RescaleSlope", 1.0), _number(dataset, "RescaleIntercept", 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        rescaled = stored * slope + intercept
    return rescaled if slope and np.isfinite(rescaled).all() else None


def _window(values: Floats, dataset: "pydicom.Dataset") -> Floats | None:
    """Applies the first window (PS3.3, C.11.2.1.2 and C.11.2.1.3); None if there is no usable one."""
    center, width = _number(dataset, "WindowCenter", math.nan), _number(dataset, "WindowWidth", math.nan)
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    is_linear = function not in ("SIGMOID", "LINEAR_EXACT")
    if is_linear:
        center, width = center - 0.5, width - 1
    if not (math.isfinite(center) and math.isfinite(width)) or width < 0:
        return None
    if width == 0:
        return np.where(values > center, 1.0, 0.0) if is_linear else None
    if function == "SIGMOID":
        with np.errstate(over="ignore"):  # far below the window, the exponential is infinite
            return 1 / (1 + np.exp(-4 * (values - center) / width))
    return np.clip((values - center) / width + 0.5, 0, 1)


def _range(values: Floats) -> Floats:
    darkest, brightest = values.min(), values.max()
    return (values - darkest) / (brightest - darkest or 1.0)


def _is_inverted(dataset: "pydicom.Dataset") -> bool:
    """Whether low values are bright: files of digital X-rays say it in both elements (PS3.3, C.8.11.3.1)."""
    shape = str(dataset.get("PresentationLUTShape") or "").strip().upper()
    return dataset.PhotometricInterpretation == "MONOCHROME1" or shape == "INVERSE"


def _first(dataset: "pydicom.Dataset", keyword: str) -> "pydicom.Dataset | None":
    items = dataset.get(keyword)
    return items[0] if items else None


def _number(dataset: "pydicom.Dataset", keyword: str, default: float) -> float:
    """The first value of an element; the default if it is missing or empty, NaN if it is no number."""
    try:
        value: Any = dataset.get(keyword)
        if hasattr(value, "__len__") and not isinstance(value, str | bytes):
            value = value[0] if len(value) else None
        return default if value is None or value == "" else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
