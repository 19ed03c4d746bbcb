"""Chooses the decoder of an image file. Decoders are imported when they are called: it takes a while."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfrecords_builder.decoding.formats import BEGINNING_BYTES, DICOM, recognize
from tfrecords_builder.decoding.reduction import Decoded
from tfrecords_builder.decoding.scaling import SixteenBits

if TYPE_CHECKING:
    import tensorflow as tf

    from tfrecords_builder.decoding.graph.pixels import DecodedInGraph


def decode(encoded: bytes, sixteen_bits: SixteenBits = "range") -> NDArray[np.uint8]:
    """Decodes an image file to gray, upright and whole.

    Args and errors are those of `decode_reduced`.

    Returns:
        uint8 array (height, width), 0 to 255.
    """
    return decode_reduced(encoded, sixteen_bits).pixels


def decode_reduced(
    encoded: bytes, sixteen_bits: SixteenBits = "range", smallest_side: int | None = None
) -> Decoded:
    """Decodes an image file to gray, upright; a large JPEG at a fraction of its size.

    Args:
        encoded: a JPEG, PNG, BMP, GIF (its first image) or DICOM file; its first bytes decide, not its name.
        sixteen_bits: how samples of 16 bits become 8, except in DICOM, which always follows `range`.
        smallest_side: what is left of each side of a JPEG, at least, in pixels; None decodes it whole.

    Returns:
        The image, and the size of the whole one.

    Raises:
        UnreadableImage: if the file is damaged, has another format, or has more than MAX_PIXELS.
        UserError: if it is DICOM and pydicom (extra `dicom`) is not installed.
    """
    from tfrecords_builder.decoding import opencv
    from tfrecords_builder.decoding.dicom import decode as dicom

    if recognize(encoded[:BEGINNING_BYTES]) == DICOM:
        return Decoded.whole(dicom.decode(encoded))
    return opencv.decode(encoded, sixteen_bits, smallest_side)


def decode_in_graph(
    encoded: "tf.Tensor", sixteen_bits: SixteenBits = "range", smallest_side: int | None = None
) -> "DecodedInGraph":
    """Does what `decode_reduced` does with TensorFlow operations; it does not read DICOM.

    Args:
        encoded: scalar string tensor, a JPEG, PNG, BMP or GIF (its first image) file.
        sixteen_bits: how samples of 16 bits become 8.
        smallest_side: as of `decode_reduced`.

    Returns:
        The image, and whether it is smaller than the whole one.

    Raises:
        tf.errors.InvalidArgumentError: if it runs on a file that `decode` refuses, or on DICOM.
    """
    from tfrecords_builder.decoding.graph import decode

    return decode.decode(encoded, sixteen_bits, smallest_side)
