"""`keras.utils.image_dataset_from_directory`: image files, decoded and resized each epoch."""

import keras
import tensorflow as tf

from pipeline.benchmark.input_stages import drained
from pipeline.benchmark.peers.source import INPUT_GROUP, PeerInput
from pipeline.benchmark.result import Measurement

ORIGINALS = "Keras image_dataset_from_directory, original-size JPEG"
SMALL = "Keras image_dataset_from_directory, small JPEG"


def on_files(source: PeerInput) -> list[Measurement]:
    """Files of original size, and files of the size that is trained on."""
    folders = {ORIGINALS: source.originals, SMALL: source.small}
    return [
        Measurement(INPUT_GROUP, name, drained(_batches(folder, source))) for name, folder in folders.items()
    ]


def _batches(folder: str, source: PeerInput) -> tf.data.Dataset:
    batches = keras.utils.image_dataset_from_directory(
        folder,
        color_mode="grayscale",
        batch_size=source.batch_size,
        image_size=(source.side, source.side),
        shuffle=True,
        seed=0,
        verbose=False,
    )
    return batches.repeat().prefetch(tf.data.AUTOTUNE)
