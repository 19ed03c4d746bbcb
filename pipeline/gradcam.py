"""Grad-CAM: which regions of the X-ray speak for the label that the model gives.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
ICCV 2017. The same TensorFlow function makes the pictures of `python -m pipeline.gradcam` and the `gradcam`
signature of the export.
"""

import dataclasses
import logging
from pathlib import Path
from typing import Annotated, Any

import cv2
import keras
import matplotlib as mpl
import numpy as np
import tensorflow as tf
import tyro
from numpy.typing import NDArray

from pipeline import runs
from pipeline.model import FEATURES, LOGIT
from tfrecords_builder import Preprocessing
from tfrecords_builder.cli.command import run
from tfrecords_builder.decoding.opencv import UnreadableImage, decode
from tfrecords_builder.errors import UserError
from tfrecords_builder.records import CLASS_NAMES

COLORMAP = "inferno"  # even steps of lightness, so that heat reads the same in print
OVERLAY_STRENGTH = 0.5
PICTURE_HEIGHT = 512  # pixels

_EPSILON = 1e-12  # keeps a map without any heat at zero; below every heat that matters

logger = logging.getLogger(__name__)


class GradCam:
    """Explains a classifier that `pipeline.model.build_model` made.

    The network is split behind its last convolution, so that the gradient is taken through the dense layers
    alone: an explanation costs hardly more than a prediction.
    """

    def __init__(self, model: keras.Model) -> None:
        features = model.get_layer(FEATURES).output
        self._convolutions = keras.Model(model.inputs[0], features)
        self._head = keras.Model(features, model.get_layer(LOGIT).output)

    def __call__(self, images: tf.Tensor, threshold: float = 0.5) -> tuple[tf.Tensor, tf.Tensor]:
        """Predicts and explains.

        The explained score is the logit, which does not saturate as the sigmoid does: as it is where the
        label is PNEUMONIA, negated where it is NORMAL.

        Args:
            images: (batch, side, side, 1), any numeric dtype, 0 to 255.
            threshold: probability from which the label is PNEUMONIA.

        Returns:
            Probability float32 (batch,), and heatmap float32 (batch, side, side), 0 to 1, whose maximum is 1
            unless nothing speaks for the label.
        """
        features = tf.cast(self._convolutions(images, training=False), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(features)
            logit = self._head(features, training=False)[:, 0]
        gradients = tape.gradient(logit, features)
        probability = tf.sigmoid(tf.cast(logit, tf.float32))
        towards_label = tf.where(probability >= threshold, 1.0, -1.0)[:, None, None, None]
        weights = tf.reduce_mean(gradients * towards_label, axis=(1, 2), keepdims=True)
        heat = tf.nn.relu(tf.reduce_sum(weights * features, axis=-1, keepdims=True))
        heat = tf.image.resize(heat, tf.shape(images)[1:3], method="bilinear")[..., 0]
        return probability, heat / (tf.reduce_max(heat, axis=(1, 2), keepdims=True) + _EPSILON)


def gradcam(model: keras.Model, images: Any, *, threshold: float = 0.5) -> tf.Tensor:
    """Heatmaps float32 (batch, side, side), 0 to 1, of images (batch, side, side, 1), 0 to 255.

    See `GradCam`, which does not split the model anew for every call.
    """
    return GradCam(model)(tf.convert_to_tensor(images), threshold)[1]


def overlay(images: tf.Tensor, heatmaps: tf.Tensor) -> tf.Tensor:
    """Lays heat over X-rays, the stronger the hotter.

    Args:
        images: uint8 (batch, side, side, 1).
        heatmaps: float32 (batch, side, side), 0 to 1.

    Returns:
        uint8 (batch, side, side, 3), RGB.
    """
    palette = tf.constant(_palette())
    colour = tf.gather(palette, tf.cast(tf.round(heatmaps * (len(_palette()) - 1)), tf.int32))
    share = OVERLAY_STRENGTH * heatmaps[..., None]
    mixed = (1 - share) * tf.cast(images, tf.float32) + share * colour
    return tf.cast(tf.round(mixed), tf.uint8)


def _palette() -> NDArray[np.float32]:
    """(256, 3) float32, RGB, 0 to 255."""
    colours = mpl.colormaps[COLORMAP](np.arange(256))[:, :3]
    return np.asarray(255 * colours, dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class GradcamConfig:
    """Draws which regions of X-rays speak for the label that the model gives them."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """Folder of a finished run; a path or a URL."""
    images: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGE")]
    """X-rays: JPEG, PNG, BMP or GIF files."""
    output: str = "gradcam"
    """Folder for the pictures."""

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError("at least one IMAGE is needed. Received: none")


def draw(
    xray: NDArray[np.uint8], heatmap: NDArray[np.float32], preprocessing: Preprocessing, caption: str
) -> NDArray[np.uint8]:
    """The whole X-ray, and beside it the part the model saw under its heat.

    Args:
        xray: uint8 (height, width), as decoded.
        heatmap: float32 (side, side), 0 to 1.
        preprocessing: of the model.
        caption: written above.

    Returns:
        uint8 (PICTURE_HEIGHT + 32, width, 3), BGR.
    """
    scale = PICTURE_HEIGHT / xray.shape[0]
    shrinking = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    gray = cv2.resize(xray, (max(1, round(xray.shape[1] * scale)), PICTURE_HEIGHT), interpolation=shrinking)
    height, width = gray.shape
    top, left = int(height * preprocessing.border), int(width * preprocessing.border)
    inner = (width - 2 * left, height - 2 * top)
    heat = cv2.resize(heatmap, inner, interpolation=cv2.INTER_LINEAR)
    seen = gray[top : height - top, left : width - left]
    explained = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
    rgb = overlay(seen[None, ..., None], heat[None]).numpy()[0]
    explained[top : height - top, left : width - left] = rgb[..., ::-1]
    cv2.rectangle(explained, (left, top), (width - left - 1, height - top - 1), (128, 128, 128), 1)
    picture = np.hstack([cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), explained])
    header = np.zeros((32, picture.shape[1], 3), np.uint8)
    cv2.putText(header, caption, (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([header, picture])


def main(config: GradcamConfig) -> None:
    """Writes one picture per image and prints label, probability and path."""
    xrays = {path: _decoded(path) for path in config.images}
    loaded = runs.load(config.run)
    explain = GradCam(loaded.model)
    threshold = loaded.operating_point.threshold
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    for number, (path, xray) in enumerate(xrays.items()):
        pixels = loaded.preprocessing.crop_and_resize(xray)
        probabilities, heatmaps = explain(tf.constant(pixels[None, ..., None]), threshold)
        probability = float(probabilities[0])
        label = CLASS_NAMES[int(probability >= threshold)]
        caption = f"{label}  probability of pneumonia {probability:.3f}, threshold {threshold:.3f}"
        picture = draw(xray, heatmaps[0].numpy(), loaded.preprocessing, caption)
        target = output / f"{number:04d}-{Path(path).stem}.png"
        cv2.imwrite(str(target), picture)
        print(f"{label}\t{probability:.4f}\t{path}\t{target}")  # noqa: T201


def _decoded(path: str) -> NDArray[np.uint8]:
    try:
        return decode(Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"cannot read the image {path!r}: {error.strerror}") from None
    except UnreadableImage as error:
        raise UserError(f"cannot explain {path!r}: {error}") from None


if __name__ == "__main__":
    run(main, GradcamConfig, "python -m pipeline.gradcam")
