"""Input, training, evaluation and explanation of the pneumonia classifier."""

from tfrecords_builder.cli import startup

startup.load_tensorflow()

import keras  # noqa: E402 - after TensorFlow, which it loads too
import tensorflow as tf  # noqa: E402

if keras.backend.backend() != "tensorflow":
    # TensorFlow feeds and exports; it would take the GPU's memory away from the backend that trains.
    tf.config.set_visible_devices([], "GPU")
