"""Trains on all GPUs of one host: each takes its share of every batch, and their gradients are summed."""

import contextlib
import logging
from collections.abc import Iterator

import keras
import tensorflow as tf

from tfrecords_builder.errors import UserError

logger = logging.getLogger(__name__)


def check_batch_size(batch_size: int) -> None:
    """Refuses a batch size that the training devices cannot share.

    Args:
        batch_size: images of one training step, of all devices together.

    Raises:
        UserError: if the devices cannot share a batch evenly.
    """
    num_devices = len(_devices())
    if batch_size % num_devices:
        raise UserError(
            f"{num_devices} devices cannot share --batch-size {batch_size} evenly: "
            f"give a multiple of {num_devices}"
        )


@contextlib.contextmanager
def on_all_devices() -> Iterator[None]:
    """A model that is built and compiled in this context is trained on all GPUs of this host.

    Without a GPU it is trained on all logical CPUs; there is one, unless TensorFlow was told to make more. On
    backends other than TensorFlow it is trained on one device.
    """
    devices = _devices()
    if len(devices) == 1:
        yield
        return
    logger.info("training on %d devices", len(devices))
    with tf.distribute.MirroredStrategy(devices).scope():
        yield


def only_cpus() -> bool:
    """Whether Keras has no other device than CPUs to train on."""
    return all("cpu" in device.lower() for device in keras.distribution.list_devices())


def _devices() -> list[str]:
    """Names of the devices to train on; a single one on backends other than TensorFlow."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    names = [device.name for device in devices]
    return names if keras.backend.backend() == "tensorflow" else names[:1]
