"""Compares the answers of an exported model with those of its run about the golden images."""

from typing import Any

import tensorflow as tf

from serving import names
from serving.golden import Golden, differences
from tfrecords_builder import storage
from tfrecords_builder.errors import UserError


class ExportRefused(UserError):
    """The exported model does not answer as its run does."""


def refuse_other_answers(golden: Golden, folder: str) -> None:
    """Loads an exported model and compares each of its signatures with the run.

    Args:
        golden: what the run answers.
        folder: folder of the exported model; a path or a URL.

    Raises:
        ExportRefused: if a signature fails, or differs by more than the tolerances of the golden images.
    """
    with storage.without_pattern(folder) as plain:
        signatures = tf.saved_model.load(plain).signatures
    for name, inputs in (
        (names.PIXELS_SIGNATURE, {names.IMAGE: golden.pixels}),
        (names.DEFAULT_SIGNATURE, {names.IMAGE_BYTES: golden.encoded}),
        (names.GRADCAM_SIGNATURE, {names.IMAGE_BYTES: golden.encoded}),
    ):
        found = differences(golden, _outputs(name, signatures[name], inputs))
        if found:
            raise ExportRefused(
                f"signature {name!r} of the exported model differs from the run's own predictions: "
                f"{'; '.join(found)}; nothing was published"
            )


def _outputs(name: str, signature: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    try:
        outputs = signature(**{key: tf.constant(value) for key, value in inputs.items()})
    except tf.errors.InvalidArgumentError as error:
        # TensorFlow's message goes on with the names of nodes, "[[...]]", and empty lines.
        reason = [line for line in error.message.splitlines() if line.strip() and "[[" not in line][-1]
        raise ExportRefused(
            f"signature {name!r} of the exported model cannot answer: {reason}; nothing was published"
        ) from None
    arrays = {key: value.numpy() for key, value in outputs.items()}
    arrays[names.LABEL] = [label.decode() for label in arrays[names.LABEL]]
    return arrays
