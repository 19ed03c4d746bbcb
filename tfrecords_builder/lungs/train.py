"""`python -m tfrecords_builder.lungs.train SOURCE MASKS OUT`: trains the lung finder."""

import dataclasses
import logging
from typing import Annotated, Any

import cv2
import keras
import numpy as np
import tyro
from numpy.typing import NDArray

from tfrecords_builder import storage
from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run
from tfrecords_builder.lungs.examples import STORED_SIDE, Examples, change, draw_examples, read_examples
from tfrecords_builder.lungs.finder import find_lungs_with
from tfrecords_builder.lungs.network import build_network, to_onnx
from tfrecords_builder.records import CLASS_NAMES
from tfrecords_builder.source.splits import seeded_hash

HELD_OUT = 10
"""One in so many patients is not trained on; the Dice of their images is printed."""
BORDER = 0.08
"""Border, as a fraction of the side, that is cropped from the images of which Dice is measured."""

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class LungTrainConfig:
    """Trains the lung finder, a small U-Net, and writes it as an ONNX file.

    It learns from the training images that have a mask, and from synthetic X-rays. Prints the Dice
    coefficient (twice the area that the masks share, divided by the sum of their areas) by class for patients that it was
    not trained on, and for the test images.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """Folder of X-rays, {train,test}/{NORMAL,PNEUMONIA}, or a table of them."""
    masks: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MASKS")]
    """Folder of their lung masks, {train,test}/{NORMAL,PNEUMONIA}/NAME.png, white in the lungs."""
    out: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUT")]
    """ONNX file to write, a path or a URL. tfrecords_builder/lungs/finder.onnx is the one that is shipped."""
    epochs: int = 30
    """Passes over the images."""
    batch_size: int = 32
    """Number of images in each training step."""
    learning_rate: float = 3e-3
    """Highest learning rate of Adam; it falls to 0 along a cosine."""
    synthetic: int = 400
    """Number of synthetic X-rays among the training images."""
    seed: int = 0
    """Seed for weights, order and random changes."""

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size) < 1 or self.synthetic < 0 or self.learning_rate <= 0:
            raise ValueError(
                "epochs and batch_size must be at least 1, learning_rate above 0, synthetic at least 0. "
                f"Received: {self.epochs}, {self.batch_size}, {self.learning_rate}, {self.synthetic}"
            )


class _Batches(keras.utils.PyDataset):
    """Examples, changed anew in every epoch."""

    def __init__(self, examples: Examples, config: LungTrainConfig) -> None:
        super().__init__()
        self._examples = examples
        self._config = config
        self._epoch = 0
        self._order = self._draw_order()

    def __len__(self) -> int:
        return len(self._order) // self._config.batch_size or 1

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        chosen = self._order[index * self._config.batch_size :][: self._config.batch_size]
        generator = np.random.default_rng((self._config.seed, self._epoch, index))
        changed = [change(self._examples.images[i], self._examples.masks[i], generator) for i in chosen]
        images, masks = (np.stack(column)[..., None] for column in zip(*changed, strict=True))
        return images, masks

    def on_epoch_end(self) -> None:
        """Draws the order of the next epoch."""
        self._epoch += 1
        self._order = self._draw_order()

    def _draw_order(self) -> NDArray[np.int64]:
        generator = np.random.default_rng((self._config.seed, self._epoch))
        return generator.permutation(len(self._examples.images))


class _Log(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logger.info("epoch %d of %d: loss %.4f", epoch + 1, self.params["epochs"], (logs or {})["loss"])


def main(config: LungTrainConfig) -> None:
    """Trains the finder, writes it, and prints its Dice."""
    examples = read_examples(config.source, config.masks, "train")
    held_out = np.array([seeded_hash(0, patient)[0] % HELD_OUT == 0 for patient in examples.patients])
    trained = _join(examples.take(~held_out), draw_examples(config.synthetic, config.seed))
    network = _train(trained, config)
    storage.write(config.out, to_onnx(network))
    finder = cv2.dnn.readNetFromONNX(np.frombuffer(to_onnx(network), np.uint8))
    _print_dice("held-out patients", finder, examples.take(held_out))
    _print_dice("test", finder, read_examples(config.source, config.masks, "test"))
    _print_dice("synthetic", finder, draw_examples(100, config.seed + 1))


def _join(first: Examples, second: Examples) -> Examples:
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return Examples(*(np.concatenate(pair) for pair in pairs))


def _train(examples: Examples, config: LungTrainConfig) -> keras.Model:
    network = build_network(config.seed)
    batches = _Batches(examples, config)
    rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, len(batches) * config.epochs)
    network.compile(
        keras.optimizers.Adam(rate), keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False
    )
    network.fit(batches, epochs=config.epochs, callbacks=[_Log()], verbose=0, shuffle=False)
    return network


def _print_dice(name: str, finder: Any, examples: Examples) -> None:
    margin = round(BORDER * STORED_SIDE)
    inner = slice(margin, STORED_SIDE - margin)
    for label, class_name in enumerate(CLASS_NAMES):
        of_class = examples.take(examples.labels == label)
        found = [find_lungs_with(finder, image[inner, inner]) for image in of_class.images]
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
