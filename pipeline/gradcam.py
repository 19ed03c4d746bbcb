"""`python -m pipeline.gradcam RUN IMAGE...`: draws what counts as evidence in an X-ray."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from tfrecords_builder import storage
from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run
from tfrecords_builder.decoding.formats import DICOM, FORMATS, expected
from tfrecords_builder.errors import UserError
from tfrecords_builder.ownership import PNG_SIGNATURE, OwnedFiles, refuse_unknown_files, sign_png

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

    from pipeline.runs import Run
    from tfrecords_builder import Preprocessing

PICTURES = OwnedFiles("a folder of Grad-CAM pictures", {r"\d{4,}-[^/]*\.png": PNG_SIGNATURE})


def gradcam(model: "Run | keras.Model", images: Any, *, threshold: float | None = None) -> "tf.Tensor":
    """Computes Grad-CAM heatmaps, which explain the labels that a run gives to images.

    Every call splits the model anew; for many batches, make one `pipeline.explanation.GradCam`.

    Args:
        model: what `pipeline.runs.load` returned, the model in it, or another model, which needs a threshold.
        images: (batch, side, side, 1), any numeric dtype, 0 to 255, preprocessed as in the records.
        threshold: probability from which the label is PNEUMONIA. None for the run's operating point.

    Returns:
        float32 (batch, side, side), 0 to 1.

    Raises:
        ValueError: if the model belongs to no run and no threshold is given, or if images have another shape.
    """
    import tensorflow as tf

    from pipeline.explanation.gradcam import GradCam
    from pipeline.runs import Run

    if threshold is None:
        threshold = _threshold_of(model)
    batch = tf.convert_to_tensor(images)
    if batch.shape.rank != 4:  # noqa: PLR2004 - (batch, height, width, channels)
        raise ValueError(f"images must have the shape (batch, side, side, 1). Received: {tuple(batch.shape)}")
    return GradCam(model.model if isinstance(model, Run) else model)(batch, threshold).heatmap


def _threshold_of(model: "Run | keras.Model") -> float:
    """The threshold of a run, or of the run that a model belongs to."""
    operating_point = getattr(model, "operating_point", None)
    if operating_point is None:
        raise ValueError(
            "a model that belongs to no run has no threshold, so that it gives no label to explain: give "
            "threshold=..., or what pipeline.runs.load returns. Received: threshold=None"
        )
    return float(operating_point.threshold)


@dataclasses.dataclass(frozen=True)
class GradcamConfig:
    """Shows which regions of an X-ray count as evidence for the label that the model gives it.

    Writes one picture for each X-ray: the whole X-ray, and beside it the same X-ray under a heatmap. The
    caption names the evidence: how strong the heatmap is, as the hottest place of a weak one is as bright.

    Prints one line for each X-ray: its label, the probability of pneumonia, the file of the X-ray, the file
    of the picture, and a warning if no lungs were found or if the X-ray is unlike the training images.
    """

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """Run folder of a finished training; a path or a URL."""
    images: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(
            metavar="IMAGE",
            help_behavior_hint="(at least one is required)",
            help=f"X-ray files: {expected(FORMATS)}, and {DICOM} if the extra `dicom` is installed.",
        ),
    ]
    output: str = "gradcam"
    """Folder that the pictures are written to; a path or a URL. Pictures of an earlier call may be replaced.
    A folder with other files is refused."""

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError("at least one IMAGE is needed. Received: none")


def main(config: GradcamConfig) -> None:
    """Writes one picture per X-ray and prints its label, probability and path."""
    import cv2
    import tensorflow as tf

    from pipeline import runs
    from pipeline.explanation.explainer import Explainer
    from pipeline.explanation.pictures import caption, draw_explanation
    from tfrecords_builder.records import CLASS_NAMES

    refuse_unknown_files(config.output, PICTURES)
    loaded = runs.load(config.run)
    xrays = {path: _read(path, loaded.preprocessing) for path in config.images}
    explain = Explainer(loaded.model, loaded.reference)
    threshold = loaded.operating_point.threshold
    for number, (path, (xray, pixels)) in enumerate(xrays.items()):
        explained = explain(tf.constant(pixels[None, ..., None]), threshold)
        probability = float(explained.probability[0])
        warning = explained.assessment.warning.numpy()[0].decode()
        label = CLASS_NAMES[int(probability >= threshold)]
        lungs = explained.assessment.lungs
        picture = draw_explanation(
            xray,
            explained.heatmap[0].numpy(),
            loaded.preprocessing.region,
            caption(label, probability, threshold, evidence=float(explained.evidence[0]), warning=warning),
            None if lungs is None else lungs[0, ..., 0].numpy(),
            beside_plain=True,
        )
        target = storage.join(config.output, f"{number:04d}-{storage.shortened(Path(path).stem)}.png")
        storage.write(target, sign_png(cv2.imencode(".png", picture[..., ::-1])[1].tobytes()))
        print(f"{label}\t{probability:.4f}\t{path}\t{target}\t{warning}".rstrip())  # noqa: T201


def _read(path: str, preprocessing: "Preprocessing") -> "tuple[NDArray[np.uint8], NDArray[np.uint8]]":
    """The X-ray in a file, uint8 (height, width), and what the model sees, uint8 (image_size, image_size)."""
    from tfrecords_builder.decoding import UnreadableImage

    try:
        encoded = Path(path).read_bytes()
        return preprocessing.decode(encoded), preprocessing.apply(encoded)
    except OSError as error:
        raise UserError(f"cannot read the image {path!r}: {error.strerror}") from None
    except UnreadableImage as error:
        raise UserError(f"cannot explain {path!r}: {error}") from None


if __name__ == "__main__":
    run(main, GradcamConfig, "python -m pipeline.gradcam", load=startup.load_keras_on_tensorflow)
