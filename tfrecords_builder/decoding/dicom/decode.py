"""Decodes a DICOM file."""

import io
import textwrap
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from tfrecords_builder.decoding.dicom.checks import check, check_compressed, check_deflated_size
from tfrecords_builder.decoding.dicom.display import to_gray
from tfrecords_builder.decoding.dicom.library import import_pydicom
from tfrecords_builder.decoding.dicom.stored import StoredValues
from tfrecords_builder.decoding.errors import UnreadableImage
from tfrecords_builder.decoding.scaling import blocks_of_rows

if TYPE_CHECKING:
    import pydicom

REASON_LENGTH = 400
"""Most characters of pydicom's own error that are shown: it quotes values of any length."""

_BLACK = 0
_SEQUENCE_DELIMITER = b"\xfe\xff\xdd\xe0" + bytes(4)


def decode(encoded: bytes) -> NDArray[np.uint8]:
    """Decodes a DICOM file of one gray frame.

    If the file has neither a VOI LUT nor a window that tells its pixels apart, its darkest pixel becomes 0
    and its brightest 255. Padding takes no part in that, and is black.

    Args:
        encoded: a DICOM file in any transfer syntax that pydicom has a decoder for: uncompressed, RLE, JPEG
            with 8 bits, and JPEG 2000. Lossless JPEG needs pylibjpeg-libjpeg (GPL) or python-gdcm.

    Returns:
        uint8 array (height, width), 0 black to 255 white.

    Raises:
        UnreadableImage: if the file is damaged, is in color, has several frames, has more than 16 bits or
            MAX_PIXELS, or is compressed in a way that no installed package decompresses.
        UserError: if pydicom is not installed.
    """
    import_pydicom()
    try:
        return _decode(encoded)
    except UnreadableImage:
        raise
    # pydicom and its decoders also raise errors of struct, zlib and numpy; no list of them is documented.
    except Exception as error:
        raise UnreadableImage(f"DICOM that pydicom cannot decode: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return textwrap.shorten(str(error), REASON_LENGTH) or type(error).__name__


def _decode(encoded: bytes) -> NDArray[np.uint8]:
    dataset = _read(encoded)
    check(dataset)
    stored = StoredValues.of(dataset)
    words = _read_words(dataset)
    num_words = 1 << 8 * words.itemsize
    counts = cv2.calcHist([words], [0], None, [num_words], [0, num_words]).ravel()
    shown = np.flatnonzero((counts > 0) & ~stored.is_padding(words.dtype))
    if not shown.size:
        raise UnreadableImage("DICOM whose pixels are all padding")
    gray_of_word = np.full(num_words, _BLACK, np.uint8)
    gray_of_word[shown] = to_gray(stored.values(shown), dataset)
    gray = np.empty(words.shape, np.uint8)
    for rows in blocks_of_rows(words.shape):
        gray[rows] = gray_of_word[words[rows]]
    return gray


def _read(encoded: bytes) -> "pydicom.Dataset":
    import pydicom
    from pydicom import uid

    check_deflated_size(encoded)
    try:
        dataset = pydicom.dcmread(io.BytesIO(encoded), force=True)
        if "PixelData" not in dataset:  # some programs forget the delimiter after compressed pixels
            dataset = pydicom.dcmread(io.BytesIO(encoded + _SEQUENCE_DELIMITER), force=True)
    except Exception as error:
        raise UnreadableImage(f"DICOM that is damaged or cut off: {_reason(error)}") from error
    if "TransferSyntaxUID" not in dataset.file_meta:  # as in most files without a preamble
        implicit, _ = dataset.original_encoding
        syntax = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def _read_words(dataset: "pydicom.Dataset") -> NDArray[np.unsignedinteger]:
    """Returns the pixels as they are in the file, with all bits: uint8 or uint16 (height, width)."""
    from pydicom.pixels.utils import pixel_array

    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        check_compressed(dataset)
    words = pixel_array(dataset, raw=True, correct_unused_bits=False)
    # If there are more pixel bytes than one frame needs, pydicom returns several frames.
    if words.shape != (dataset.Rows, dataset.Columns):
        raise UnreadableImage(f"DICOM with pixels of shape {words.shape}: expected one frame")
    return words.astype(f"u{words.itemsize}", copy=False)
