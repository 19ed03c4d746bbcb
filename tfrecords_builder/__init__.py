"""Builds sharded TFRecords of border-cropped chest X-rays."""

from tfrecords_builder.preprocessing import Preprocessing

__version__ = "0.3.0"
__all__ = ["Preprocessing", "__version__"]
