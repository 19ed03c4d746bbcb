"""Measures how fast the input alone is: its stages, and each reader of `pipeline.dataset` by its name."""

import keras
import numpy as np
import tensorflow as tf

from pipeline.augmentation import AcquisitionAugmentation
from pipeline.benchmark.result import Measurement
from pipeline.benchmark.samples import Samples
from pipeline.benchmark.timing import Meter, meter
from pipeline.dataset import make_dataset
from pipeline.input.prefetching import PREFETCHED_BATCHES
from pipeline.input.reader import ReaderName
from pipeline.training.settings import AugmentationConfig
from tfrecords_builder.records import features_for_training

GROUP = "input alone"
MEMORY = "raw, memory, shuffled"
MAPPED = "raw, mapped, shuffled"
STREAMED = "raw, streamed, shuffled"
JPEG_MAPPED = "JPEG, mapped, shuffled"
JPEG_STREAMED = "JPEG, streamed, shuffled"
_BATCHES_PER_CALL = 64


def measurements(samples: Samples, batch_size: int) -> list[Measurement]:
    """Reading, parsing, every reader and, if Keras runs on TensorFlow, augmentation."""
    paths = [str(path) for path in samples.shards(samples.raw)]
    examples = tf.data.TFRecordDataset(paths).repeat().batch(batch_size)
    parsed = examples.map(_parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(PREFETCHED_BATCHES)
    datasets = {
        "raw, TFRecordDataset: read": examples,
        "raw, TFRecordDataset: read, parse": parsed,
        "raw, mapped, in order": endless(samples.raw, batch_size, "mapped", training=False),
        MAPPED: endless(samples.raw, batch_size, "mapped"),
        MEMORY: endless(samples.raw, batch_size, "memory"),
        JPEG_MAPPED: endless(samples.jpeg, batch_size, "mapped"),
        STREAMED: endless(samples.raw, batch_size, "streamed"),
        JPEG_STREAMED: endless(samples.jpeg, batch_size, "streamed"),
    }
    meters = {name: batch_meter(dataset) for name, dataset in datasets.items()}
    if (
        keras.backend.backend() == "tensorflow"
    ):  # elsewhere it is compiled and measured with the training step
        meters["augmentation, on the device"] = _augmentation_meter(samples, batch_size)
    return [Measurement(GROUP, name, meter, {"batch_size": batch_size}) for name, meter in meters.items()]


def endless(records: str, batch_size: int, reader: ReaderName, *, training: bool = True) -> tf.data.Dataset:
    """The split `train` from one reader, epoch after epoch."""
    return make_dataset(
        records, "train", batch_size=batch_size, training=training, reader=reader, epochs=None
    )


def batch_meter(dataset: tf.data.Dataset) -> Meter:
    """A meter of the images per second that leave an endless dataset if nothing is done with them."""
    iterator = iter(dataset)

    @tf.function
    def take() -> tf.Tensor:
        images = tf.constant(0)
        for _ in tf.range(_BATCHES_PER_CALL):
            images += tf.shape(tf.nest.flatten(next(iterator))[-1])[0]
        return images

    return meter(lambda: int(take()))


def _parse(examples: tf.Tensor) -> dict[str, tf.Tensor]:
    return tf.io.parse_example(examples, features_for_training())


def _augmentation_meter(samples: Samples, batch_size: int) -> Meter:
    augment = tf.function(AcquisitionAugmentation(AugmentationConfig()))
    images = tf.constant(samples.images[:batch_size])

    def work() -> int:
        np.asarray(augment(images, training=True)[0, 0, 0, 0])  # waits for the device
        return len(images)

    return meter(work)
