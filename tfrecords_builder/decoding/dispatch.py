"""Chooses the decoder of an image file. Decoders are imported when they are called: it takes a while."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfrecords_builder.decoding.formats import BEGINNING_BYTES, DICOM, recognize
from tfrecords_builder.decoding.scaling import SixteenBits

if TYPE_CHECKING:
    import tensorflow as tf


def decode(encoded: bytes, sixteen_bits: SixteenBits = "range") -> NDArray[np.uint8]:
    """Decodes an image file to gray, upright.

    Args:
        encoded: a JPEG, PNG, BMP, GIF (its first image) or DICOM file; its first bytes decide, not its name.
        sixteen_bits: how samples of 16 bits become 8, except in DICOM, which always follows `range`.

    Returns:
        uint8 array (height, width), 0 to 255.

    Raises:
        UnreadableImage: if the file is damaged, has another format, or has more than MAX_PIXELS.
        UserError: if it is DICOM and pydicom (extra `dicom`) is not installed.
    """
    from tfrecords_builder.decoding import opencv
    from tfrecords_builder.decoding.dicom import decode as dicom

    if recognize(encoded[:BEGINNING_BYTES]) == DICOM:
        return dicom.decode(encoded)
    return opencv.decode(encoded, sixteen_bits)


def decode_in_graph(encoded: "tf.Tensor", sixteen_bits: SixteenBits = "range") -> "tf.Tensor":
    """Decodes an image file to gray, upright, with TensorFlow operations; it does not read DICOM.

    Args:
        encoded: scalar string tensor, a JPEG, PNG, BMP or GIF (its first image) file.
        sixteen_bits: how samples of 16 bits become 8.

    Returns:
        uint8 tensor (height, width, 1), 0 to 255.

    Raises:
        tf.errors.InvalidArgumentError: if it runs on a file that `decode` refuses, or on DICOM.
    """
    from tfrecords_builder.decoding.graph import decode

    return decode.decode(encoded, sixteen_bits)
