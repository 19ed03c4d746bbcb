"""Draws the golden images of an export, and lets the run answer about them as its evaluation did."""

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.decision.calibration import logit
from pipeline.explanation.explainer import Explainer
from pipeline.runs import Run
from serving.exporting.random_images import encode_png, random_images
from serving.golden import Golden
from tfrecords_builder.records import NORMAL, PNEUMONIA
from tfrecords_builder.synthetic_xray import draw

GOLDEN_IMAGES = 8
_DRAWN_IMAGES = 32
_OTHER_IMAGES = 16
_BLENDS = 33  # of a NORMAL and a PNEUMONIA image, among which the model is least sure about one
_SMALLEST_SIDE = 160  # pixels; a drawing needs some, also for a model of small images
_SIZE = 1.5  # times the model's image size, so that cropping and resizing are compared, too


def answer_golden_images(run: Run) -> Golden:
    """Draws images about which the run is not sure, and answers about them.

    Each is a blend of an image that the run takes for NORMAL and of one that it takes for PNEUMONIA. Their
    probabilities are the first to change with the weights, and their labels with the threshold. The answers
    are those of OpenCV's preprocessing and the Keras model, as in an evaluation.
    """
    encoded = encode_png(_unsure(run)[..., None])
    pixels = _preprocessed(run, encoded)
    threshold = float(run.operating_point.threshold)
    explained = Explainer(run.model, run.reference)(tf.constant(pixels), threshold)
    return Golden(
        encoded=encoded,
        pixels=pixels,
        threshold=threshold,
        probability=run.model.predict(pixels, verbose=0)[:, 0],
        lung_area=explained.assessment.lung_area.numpy(),
        familiarity=explained.assessment.familiarity.numpy(),
        heatmap=explained.heatmap.numpy(),
    )


def _unsure(run: Run) -> NDArray[np.uint8]:
    """Images (GOLDEN_IMAGES, side, side) with probabilities as close to the threshold as blends can get."""
    drawn = _draw(max(_SMALLEST_SIDE, int(_SIZE * run.preprocessing.image_size)))
    order = np.argsort(_logits(run, drawn), kind="stable")
    low, high = drawn[order[:GOLDEN_IMAGES]], drawn[order[-GOLDEN_IMAGES:]]
    shares = np.linspace(0, 1, _BLENDS)[:, None, None, None]
    blends = np.rint((1 - shares) * low + shares * high).astype(np.uint8)  # (blends, images, side, side)
    logits = _logits(run, blends.reshape(-1, *low.shape[1:])).reshape(_BLENDS, GOLDEN_IMAGES)
    closest = np.argmin(np.abs(logits - logit(np.array(run.operating_point.threshold))), axis=0)
    return blends[closest, np.arange(GOLDEN_IMAGES)]


def _draw(side: int) -> NDArray[np.uint8]:
    """Synthetic X-rays, smooth images and noise, (images, side, side), the same ones each time."""
    generator = np.random.default_rng(0)
    drawings = [
        draw(
            generator,
            PNEUMONIA if number % 2 else NORMAL,
            viral=number % 4 == 1,
            mean_height=side,
            contrast=0.2,
            marker_strength=0.0,
        )[0]
        for number in range(_DRAWN_IMAGES)
    ]
    xrays = [cv2.resize(drawing, (side, side), interpolation=cv2.INTER_AREA) for drawing in drawings]
    noise = generator.integers(0, 128, (_OTHER_IMAGES, side, side), np.uint8)
    return np.concatenate([xrays, random_images(side, _OTHER_IMAGES)[..., 0], noise])


def _preprocessed(run: Run, encoded: list[bytes]) -> NDArray[np.uint8]:
    return np.stack([run.preprocessing.apply(png) for png in encoded])[..., None]


def _logits(run: Run, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The logits of images (images, side, side)."""
    pixels = np.stack([run.preprocessing.crop_and_resize(image) for image in images])[..., None]
    return logit(run.model.predict(pixels, verbose=0)[:, 0])
