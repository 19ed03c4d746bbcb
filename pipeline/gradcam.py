"""`python -m pipeline.gradcam RUN IMAGE...`: draws which regions of an X-ray speak for the model's answer."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run
from tfrecords_builder.errors import UserError

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray


def gradcam(model: "keras.Model", images: Any, *, threshold: float = 0.5) -> "tf.Tensor":
    """Computes Grad-CAM heatmaps.

    Every call splits the model anew; for many batches, make one `pipeline.explanation.GradCam`.

    Args:
        model: a model that `pipeline.model.build_model` made.
        images: (batch, side, side, 1), any numeric dtype, 0 to 255, preprocessed as in the records.
        threshold: probability from which the label is PNEUMONIA. The heatmap explains the label.

    Returns:
        float32 (batch, side, side), 0 to 1.
    """
    import tensorflow as tf

    from pipeline.explanation import GradCam

    return GradCam(model)(tf.convert_to_tensor(images), threshold)[1]


@dataclasses.dataclass(frozen=True)
class GradcamConfig:
    """Draws which regions of X-rays speak for the label that the model gives them.

    Writes one picture for each X-ray: the whole X-ray, and beside it the same X-ray with the heatmap over it.
    Prints one line for each X-ray: label, probability of pneumonia, X-ray, picture.
    """

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """Folder of a finished run: a path or a URL."""
    images: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(metavar="IMAGE", help_behavior_hint="(at least one is required)"),
    ]
    """X-ray files: JPEG, PNG, BMP, GIF, or DICOM if the extra `dicom` is installed."""
    output: str = "gradcam"
    """Folder that the pictures are written to."""

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError("at least one IMAGE is needed. Received: none")


def main(config: GradcamConfig) -> None:
    """Writes one picture per X-ray and prints its label, probability and path."""
    import cv2
    import tensorflow as tf

    from pipeline import runs
    from pipeline.explanation import GradCam, side_by_side
    from tfrecords_builder.records import CLASS_NAMES

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
        picture = side_by_side(xray, heatmaps[0].numpy(), loaded.preprocessing, caption)
        target = output / f"{number:04d}-{Path(path).stem}.png"
        cv2.imwrite(str(target), picture)
        print(f"{label}\t{probability:.4f}\t{path}\t{target}")  # noqa: T201


def _decoded(path: str) -> "NDArray[np.uint8]":
    """The pixels of an X-ray file, uint8 (height, width)."""
    from tfrecords_builder.decoding import UnreadableImage, decode

    try:
        return decode(Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"cannot read the image {path!r}: {error.strerror}") from None
    except UnreadableImage as error:
        raise UserError(f"cannot explain {path!r}: {error}") from None


if __name__ == "__main__":
    run(main, GradcamConfig, "python -m pipeline.gradcam", load=startup.load_keras_on_tensorflow)
