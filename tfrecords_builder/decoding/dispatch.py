"""Chooses the decoder of an image file."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfrecords_builder.decoding import dicom, opencv

if TYPE_CHECKING:
    import tensorflow as tf


def decode(encoded: bytes) -> NDArray[np.uint8]:
    """Decodes an image file to gray, upright.

    Args:
        encoded: a JPEG, PNG, BMP, GIF (its first frame) or DICOM file.

    Returns:
        uint8 array (height, width), 0 to 255.

    Raises:
        UnreadableImage: if the file is damaged, has another format, or has more than MAX_PIXELS.
        UserError: if it is DICOM and pydicom (extra `dicom`) is not installed.
    """
    return dicom.decode(encoded) if dicom.is_dicom(encoded) else opencv.decode(encoded)


def decode_in_graph(encoded: "tf.Tensor") -> "tf.Tensor":
    """Decodes an image file to gray, upright, with TensorFlow operations; it does not read DICOM.

    Args:
        encoded: scalar string tensor, a JPEG, PNG, BMP or GIF (its first frame) file.

    Returns:
        uint8 tensor (height, width, 1), 0 to 255.

    Raises:
        tf.errors.InvalidArgumentError: if it runs on a file that `decode` refuses, or on DICOM.
        tf.errors.OutOfRangeError: if it runs on some damaged files.
    """
    from tfrecords_builder.decoding import graph  # it loads TensorFlow

    return graph.decode(encoded)
