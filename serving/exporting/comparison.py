"""Compares the answers of an exported model with the predictions of its run."""

from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.runs import Run
from serving import names
from serving.exporting.random_images import encode_png, random_images
from tfrecords_builder import storage
from tfrecords_builder.errors import UserError

TOLERANCE = 1e-3
"""Largest accepted difference in probability between the exported model and the run's model."""

_COMPARED_IMAGES = 8


class ExportRefused(UserError):
    """The exported model does not answer as its run does."""


def refuse_other_answers(run: Run, folder: str) -> None:
    """Loads an exported model and compares each of its signatures with the run.

    The run's side of the comparison is OpenCV's preprocessing and the Keras model.

    Args:
        run: the run that was exported.
        folder: folder of the exported model; a path or a URL.

    Raises:
        ExportRefused: if a signature fails, or if a probability differs by more than TOLERANCE or is NaN.
    """
    # The images are larger than those of the model, so that cropping and resizing are compared too.
    encoded = encode_png(random_images(3 * run.preprocessing.image_size, _COMPARED_IMAGES))
    pixels = np.stack([run.preprocessing.apply(png) for png in encoded])[..., None]
    expected = run.model.predict(pixels, verbose=0)[:, 0]
    with storage.without_pattern(folder) as plain:
        signatures = tf.saved_model.load(plain).signatures
    for name, inputs in (
        (names.PIXELS_SIGNATURE, {names.IMAGE: pixels}),
        (names.DEFAULT_SIGNATURE, {names.IMAGE_BYTES: encoded}),
        (names.GRADCAM_SIGNATURE, {names.IMAGE_BYTES: encoded}),
    ):
        probability = _probability(name, signatures[name], inputs)
        difference = float(np.abs(probability - expected).max())
        if not difference <= TOLERANCE:  # true for NaN too
            raise ExportRefused(
                f"signature {name!r} of the exported model differs from the run's own predictions by "
                f"{difference:.2g}, more than {TOLERANCE}: nothing was published"
            )


def _probability(name: str, signature: Any, inputs: dict[str, Any]) -> Any:
    try:
        outputs = signature(**{key: tf.constant(value) for key, value in inputs.items()})
    except tf.errors.InvalidArgumentError as error:
        # TensorFlow's message goes on with the names of nodes, "[[...]]", and empty lines.
        reason = [line for line in error.message.splitlines() if line.strip() and "[[" not in line][-1]
        raise ExportRefused(
            f"signature {name!r} of the exported model cannot answer: {reason}; nothing was published"
        ) from None
    return outputs[names.PROBABILITY].numpy()
