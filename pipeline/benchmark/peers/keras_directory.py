"""`keras.utils.image_dataset_from_directory`: decodes and resizes image files in every epoch."""

import keras
import tensorflow as tf

from pipeline.benchmark.input_stages import batch_meter
from pipeline.benchmark.peers.source import INPUT_GROUP, PeerInput
from pipeline.benchmark.result import Measurement

ORIGINALS = "Keras image_dataset_from_directory, original-size JPEG"
SMALL = "Keras image_dataset_from_directory, small JPEG"


def on_files(source: PeerInput) -> list[Measurement]:
    """Reads JPEG files of original size, and JPEG files of the size that is trained on."""
    folders = {ORIGINALS: source.originals, SMALL: source.small}
    return [
        Measurement(INPUT_GROUP, name, batch_meter(_batches(folder, source)))
        for name, folder in folders.items()
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
