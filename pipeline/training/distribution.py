"""Trains on all GPUs of one host: each takes its share of every batch, and their gradients are summed."""

import contextlib
import logging
from collections.abc import Iterator

import keras
import tensorflow as tf

from tfrecords_builder.errors import UserError

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def on_all_devices(batch_size: int) -> Iterator[None]:
    """What is built and compiled inside is trained on all GPUs, or, where there are none, all logical CPUs.

    With one device, and on backends other than TensorFlow, this changes nothing: Keras trains on one.

    Args:
        batch_size: images a step, of all devices together.

    Raises:
        UserError: if the devices cannot share a batch evenly.
    """
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if keras.backend.backend() != "tensorflow" or len(devices) == 1:
        yield
        return
    if batch_size % len(devices):
        raise UserError(
            f"{len(devices)} devices cannot share --batch-size {batch_size} evenly: give a multiple"
        )
    logger.info("training on %d devices", len(devices))
    with tf.distribute.MirroredStrategy([device.name for device in devices]).scope():
        yield
