"""Input, training, evaluation and explanation of the pneumonia classifier."""

from tfrecords_builder import quiet_start

quiet_start.load_tensorflow()
