"""The settings of a training of the lung finder. They load no Keras, so that --help is shown at once."""

import dataclasses
from typing import Annotated

import tyro


@dataclasses.dataclass(frozen=True)
class LungTrainConfig:
    """Trains the lung finder, a small U-Net, and writes it as an ONNX file.

    It learns from the training images that have a mask, and from synthetic X-rays. Prints the Dice
    coefficient by class for patients that it was not trained on and for the test images: twice the area that
    the masks share, divided by the sum of their areas.
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
