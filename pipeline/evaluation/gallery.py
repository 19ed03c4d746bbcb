"""The images that the page shows with their heatmaps: the worst mistakes, and the surest right answers."""

import dataclasses
import io

import cv2
import matplotlib.image
import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.predictions import Predictions
from pipeline.explanation.pictures import with_heat
from pipeline.input.arrays import Images
from tfrecords_builder.records import PNEUMONIA

MISTAKES_SHOWN = 12
RIGHT_ANSWERS_SHOWN = 4
PICTURE_HEIGHT = 288  # pixels


@dataclasses.dataclass(frozen=True)
class ShownImage:
    """One image of the gallery."""

    source: str
    """Path relative to the source folder."""
    probability: float
    """Predicted probability of pneumonia."""
    warning: str
    """Why the model should not be asked about it; empty if nothing was noticed."""
    picture: str
    """Name of the PNG file: the image, and beside it the image with heat and lungs."""


@dataclasses.dataclass(frozen=True, eq=False)
class Heatmap:
    """The explanation of one image that is shown."""

    heat: NDArray[np.float32]
    """(side, side), 0 to 1."""
    attention: NDArray[np.float32] | None
    """The lung attention (height, width, 1), 0 to 1; None if the model has none."""


def choose(predictions: Predictions) -> dict[str, list[int]]:
    """Chooses the worst wrong and the surest right predictions: positions of images by kind of prediction."""
    called, is_pneumonia = predictions.called_pneumonia, predictions.labels == PNEUMONIA
    lowest_first = np.argsort(predictions.probabilities, kind="stable")
    highest_first = np.argsort(-predictions.probabilities, kind="stable")
    kinds = {
        "missed pneumonia": (is_pneumonia & ~called, lowest_first, MISTAKES_SHOWN),
        "false alarm": (~is_pneumonia & called, highest_first, MISTAKES_SHOWN),
        "pneumonia found": (is_pneumonia & called, highest_first, RIGHT_ANSWERS_SHOWN),
        "normal": (~is_pneumonia & ~called, lowest_first, RIGHT_ANSWERS_SHOWN),
    }
    return {
        kind: [int(position) for position in order if belongs[position]][:count]
        for kind, (belongs, order, count) in kinds.items()
    }


def show(
    predictions: Predictions,
    chosen: dict[str, list[int]],
    images: Images,
    heatmaps: dict[int, Heatmap],
) -> tuple[dict[str, list[ShownImage]], dict[str, bytes]]:
    """Draws the images that were chosen.

    Args:
        predictions: what was predicted for all images.
        chosen: what `choose` returned.
        images: all images (n, side, side, 1), 0 to 255.
        heatmaps: explanations of the chosen images by their position.

    Returns:
        The images that are shown by kind of prediction, and their PNG files by name.
    """
    shown: dict[str, list[ShownImage]] = {}
    pictures: dict[str, bytes] = {}
    for kind, positions in chosen.items():
        shown[kind] = []
        for number, position in enumerate(positions, 1):
            picture = f"{kind.replace(' ', '_')}_{number}.png"
            pictures[picture] = _draw(images[position], heatmaps[position])
            probability = float(predictions.probabilities[position])
            source, warning = predictions.sources[position], predictions.warnings[position]
            shown[kind].append(ShownImage(source, probability, warning, picture))
    return shown, pictures


def _draw(image: NDArray[np.uint8], heatmap: Heatmap) -> bytes:
    """A PNG of an image (side, side, 1), and beside it the same with heat and lungs."""
    size = (PICTURE_HEIGHT, PICTURE_HEIGHT)
    large = np.asarray(cv2.resize(image[..., 0], size, interpolation=cv2.INTER_CUBIC), np.uint8)
    lungs = None if heatmap.attention is None else heatmap.attention[..., 0]
    explained = with_heat(large, heatmap.heat, lungs)
    file = io.BytesIO()
    matplotlib.image.imsave(
        file, np.hstack([np.repeat(large[..., None], 3, axis=-1), explained]), format="png"
    )
    return file.getvalue()
