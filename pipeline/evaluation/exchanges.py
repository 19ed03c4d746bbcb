"""What the border, and what surrounds the lungs, tell of the class: they are exchanged between test images.

The border, or everything outside the lungs, of each image is replaced by that of another test image: once of
the opposite class and once of the same class. Any exchange may flip a label. What an opposite class flips
beyond the same class is the excess: that much the label rests on what is outside the lungs.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.part import Part, Subject
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.thresholds import HALF
from tfrecords_builder.cli.progress import progress

BORDER = 0.1
"""Width of the exchanged border, as a fraction of the image's side."""
DRAWS = 4
"""How often the other image is drawn anew for every image; the figures are means."""

_IMAGES_AT_ONCE = 64

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclasses.dataclass(frozen=True)
class Flips:
    """Fractions of the images whose label changes if a region is exchanged."""

    opposite_class: float
    """Fraction if the region comes from an image of the other class."""
    same_class: float
    """Fraction if it comes from another image of the same class."""
    excess: float
    """How much larger the first fraction is than the second."""


@dataclasses.dataclass(frozen=True)
class Exchange:
    """The flipped labels at both thresholds, for one region that is exchanged."""

    images: int
    """Number of images in which the region is known."""
    at_operating_point: Flips
    at_half: Flips


@dataclasses.dataclass(frozen=True)
class Exchanges:
    """The figures of this part."""

    exchange: dict[str, Exchange]
    """Figures by region: `border`, and `outside the lungs` if images have lung masks."""


def measure(
    predictions: Predictions,
    images: NDArray[np.uint8],
    lungs: NDArray[np.bool_],
    known: NDArray[np.bool_],
    predict: Predict,
) -> Exchanges:
    """Exchanges the regions and predicts the images anew.

    Args:
        predictions: what was predicted for the unchanged images.
        images: the unchanged images (n, side, side, 1), 0 to 255.
        lungs: (n, side, side), true in the lungs.
        known: (n,), whether an image has a lung mask.
        predict: returns probabilities of pneumonia (n,) for such images.
    """
    side = images.shape[1]
    width = max(1, round(BORDER * side))
    border = np.ones((side, side), bool)
    border[width:-width, width:-width] = False
    everywhere = np.broadcast_to(border, (len(images), side, side))
    every = np.ones(len(images), bool)
    regions = {"border": (everywhere, every, False)}
    if known.any():
        regions["outside the lungs"] = (~lungs, known, True)
    return Exchanges(
        {
            name: _exchange(predictions, images, region, usable, predict, match_level=match_level)
            for name, (region, usable, match_level) in progress(
                regions.items(), len(regions), "exchanging regions"
            )
        }
    )


def _exchange(
    predictions: Predictions,
    images: NDArray[np.uint8],
    region: NDArray[np.bool_],
    usable: NDArray[np.bool_],
    predict: Predict,
    *,
    match_level: bool,
) -> Exchange:
    chosen = np.flatnonzero(usable)
    labels, before = predictions.labels[chosen], predictions.probabilities[chosen]
    thresholds = (predictions.threshold, HALF)
    flipped: dict[bool, list[list[float]]] = {True: [], False: []}
    for opposite in (True, False):
        generator = np.random.default_rng(0)
        for _ in range(DRAWS):
            others = chosen[_draw_others(labels, generator, opposite=opposite)]
            exchanged = np.empty((len(chosen), *images.shape[1:]), np.uint8)
            for begin in range(0, len(chosen), _IMAGES_AT_ONCE):
                some = slice(begin, begin + _IMAGES_AT_ONCE)
                exchanged[some] = exchange(
                    images[chosen[some]], images[others[some]], region[chosen[some]], match_level=match_level
                )
            after = predict(exchanged)
            flipped[opposite].append([_flipped(before, after, threshold) for threshold in thresholds])
    opposite_class, same_class = (np.mean(flipped[opposite], axis=0) for opposite in (True, False))
    at_operating_point, at_half = (
        Flips(float(other), float(same), float(other - same))
        for other, same in zip(opposite_class, same_class, strict=True)
    )
    return Exchange(len(chosen), at_operating_point, at_half)


def _flipped(before: NDArray[np.float32], after: NDArray[np.float32], threshold: float) -> float:
    return float(np.mean((before >= threshold) != (after >= threshold))) if len(before) else math.nan


def _draw_others(
    labels: NDArray[np.float32], generator: np.random.Generator, *, opposite: bool
) -> NDArray[np.int64]:
    """Draws for each image the position of another image, of the opposite or of the same class."""
    others = np.empty(len(labels), np.int64)
    for label in (0, 1):
        members = np.flatnonzero(labels == label)
        pool = np.flatnonzero(labels == (1 - label if opposite else label))
        others[members] = generator.choice(pool, len(members)) if len(pool) else members
    return others


def exchange(
    images: NDArray[np.uint8], others: NDArray[np.uint8], region: NDArray[np.bool_], *, match_level: bool
) -> NDArray[np.uint8]:
    """Replaces a region of images by the same region of others.

    Args:
        images: (batch, side, side, 1), 0 to 255.
        others: as many images.
        region: (batch, side, side), true where pixels are replaced.
        match_level: whether the new pixels get the mean gray level of those that they replace.
    """
    region = region[..., None]
    new = others.astype(np.float32)
    if match_level:
        count = np.maximum(region.sum(axis=(1, 2, 3), keepdims=True), 1)
        difference = (images.astype(np.float32) - new) * region
        new = new + difference.sum(axis=(1, 2, 3), keepdims=True) / count
    return np.where(region, np.clip(np.rint(new), 0, 255), images).astype(np.uint8)


def measure_part(subject: Subject) -> Part:
    """The figures, without pictures."""
    some = subject.sample(subject.MOST_CHANGED)
    figures = measure(some.predictions, some.images[:], some.lungs[:], some.lungs.known, subject.predict)
    return Part("exchanges", figures)
