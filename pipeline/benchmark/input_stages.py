"""How fast the input alone is, stage by stage and in each way that `pipeline.dataset` has."""

import keras
import numpy as np
import tensorflow as tf

from pipeline.augmentation import AcquisitionAugmentation
from pipeline.benchmark.result import Measurement
from pipeline.benchmark.samples import Samples
from pipeline.benchmark.timing import Meter, meter
from pipeline.dataset import make_dataset
from pipeline.input.cache import Cache
from pipeline.input.prefetching import PREFETCHED_BATCHES
from pipeline.training.settings import AugmentationConfig
from tfrecords_builder.records import features_for_training

GROUP = "input alone"
STREAMED = "raw, streamed, shuffled"
IN_MEMORY = "raw, in memory, shuffled"
ENCODED = "JPEG, streamed, shuffled"


def measurements(samples: Samples, batch_size: int) -> list[Measurement]:
    """Reading, parsing, shuffling, decoding and, on TensorFlow, augmenting."""
    paths = [str(path) for path in samples.shards(samples.raw)]
    read = tf.data.TFRecordDataset(paths).repeat().batch(batch_size)
    stages = {
        "raw, TFRecordDataset: read": read,
        "raw, TFRecordDataset: read, parse": read.map(_parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(
            PREFETCHED_BATCHES
        ),
        "raw, streamed, in order": endless(samples.raw, batch_size, "none", training=False),
        STREAMED: endless(samples.raw, batch_size, "none"),
        IN_MEMORY: endless(samples.raw, batch_size, "ram"),
        ENCODED: endless(samples.jpeg, batch_size, "none"),
    }
    meters = {name: drained(batches) for name, batches in stages.items()}
    if keras.backend.backend() == "tensorflow":  # elsewhere it is compiled with the step, and measured there
        meters["augmentation, on the device"] = _augmented(samples, batch_size)
    return [Measurement(GROUP, name, rate, {"batch_size": batch_size}) for name, rate in meters.items()]


def endless(records: str, batch_size: int, cache: Cache, *, training: bool = True) -> tf.data.Dataset:
    """The `train` split, epoch after epoch."""
    return make_dataset(records, "train", batch_size=batch_size, training=training, cache=cache, epochs=None)


def drained(batches: tf.data.Dataset) -> Meter:
    """Of the images a second that leave the pipeline when nothing is done with them."""
    iterator = iter(batches)

    @tf.function
    def drain() -> tf.Tensor:
        images = tf.constant(0)
        for _ in tf.range(64):
            images += tf.shape(tf.nest.flatten(next(iterator))[-1])[0]
        return images

    return meter(lambda: int(drain()))


def _parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    return tf.io.parse_example(serialized, features_for_training())


def _augmented(samples: Samples, batch_size: int) -> Meter:
    augment = tf.function(AcquisitionAugmentation(AugmentationConfig()))
    images = tf.constant(samples.images[:batch_size])

    def work() -> int:
        np.asarray(augment(images, training=True)[0, 0, 0, 0])  # waits for the device
        return len(images)

    return meter(work)
