"""`python -m tfrecords_builder.lungs.train SOURCE MASKS OUT`: trains the lung finder."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tfrecords_builder import ownership, storage
from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run
from tfrecords_builder.errors import UserError
from tfrecords_builder.lungs.examples import STORED_SIDE, Examples, draw_examples, read_examples
from tfrecords_builder.lungs.finder import find_lungs_with
from tfrecords_builder.lungs.settings import LungTrainConfig
from tfrecords_builder.records import CLASS_NAMES
from tfrecords_builder.source.splits import seeded_hash

HELD_OUT = 10
"""One in so many patients is not trained on; the Dice of their images is printed."""
BORDER = 0.08
"""Border, as a fraction of the side, that is cropped from the images of which Dice is measured."""
ONNX_SIGNATURE = rb"tfrecords_builder\.lungs\.train"
"""What the beginning of a file contains that this command wrote."""


def main(config: LungTrainConfig) -> None:
    """Trains the finder, writes it, and prints its Dice."""
    fit, to_onnx = _import_training()
    ownership.refuse_foreign_file(config.out, ONNX_SIGNATURE, "a lung finder")
    examples = read_examples(config.source, config.masks, "train")
    held_out = np.array([seeded_hash(0, patient)[0] % HELD_OUT == 0 for patient in examples.patients])
    trained = _join(examples.take(~held_out), draw_examples(config.synthetic, config.seed))
    network = to_onnx(fit(trained, config))
    storage.write(config.out, network)
    finder = cv2.dnn.readNetFromONNX(np.frombuffer(network, np.uint8))
    _print_dice("held-out patients", finder, examples.take(held_out))
    _print_dice("test", finder, read_examples(config.source, config.masks, "test"))
    _print_dice("synthetic", finder, draw_examples(100, config.seed + 1))


def _import_training() -> tuple[Callable[..., Any], Callable[..., bytes]]:
    """What needs Keras and ONNX.

    Raises:
        UserError: if ONNX is not installed.
    """
    try:
        from tfrecords_builder.lungs.fitting import fit
        from tfrecords_builder.lungs.network import to_onnx
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise UserError(
            "training the lung finder needs ONNX: pip install 'chest-xray-pipeline[lungs]'"
        ) from None
    return fit, to_onnx


def _join(first: Examples, second: Examples) -> Examples:
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return Examples(*(np.concatenate(pair) for pair in pairs))


def _print_dice(name: str, finder: Any, examples: Examples) -> None:
    margin = round(BORDER * STORED_SIDE)
    inner = slice(margin, STORED_SIDE - margin)
    for label, class_name in enumerate(CLASS_NAMES):
        of_class = examples.take(examples.labels == label)
        if not len(of_class.images):
            continue
        found = find_lungs_with(finder, [image[inner, inner] for image in of_class.images])
        drawn = [mask[inner, inner] > 127 for mask in of_class.masks]  # noqa: PLR2004 - half of 255
        values = [dice(a, b) for a, b in zip(found, drawn, strict=True)]
        print(f"{name}\t{class_name}\t{len(values)} images\tDice {np.mean(values):.3f}")  # noqa: T201


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Twice the area that two masks share, divided by the sum of their areas; 1 if both are empty."""
    total = first.sum() + second.sum()
    return float(2 * (first & second).sum() / total) if total else 1.0


if __name__ == "__main__":
    run(
        main,
        LungTrainConfig,
        "python -m tfrecords_builder.lungs.train",
        load=startup.load_keras_on_tensorflow,
    )
