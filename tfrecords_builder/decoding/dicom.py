"""Decodes DICOM X-rays to the gray that a viewer shows, with pydicom (extra `dicom`).

The stored values go through the modality LUT (or rescale slope and intercept), then through the VOI LUT or
the first window, and are inverted if the file says MONOCHROME1 (DICOM PS3.4, Annex N.2). X-rays have at most
16 bits per pixel, so the whole chain is computed once for each stored value and not once for each pixel.
"""

import functools
import io
import logging
import textwrap
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tfrecords_builder.decoding.errors import UnreadableImage
from tfrecords_builder.decoding.formats import MAX_PIXELS, too_many_pixels
from tfrecords_builder.errors import UserError

if TYPE_CHECKING:
    import pydicom

MAX_BITS = 16
"""Most bits of a stored value."""
REASON_LENGTH = 400
"""Most characters of pydicom's own error that are shown: it quotes values of any length."""

_MAGIC = slice(128, 132)  # after the preamble
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")  # of files without a preamble, little endian
_INFINITY = 1e30  # larger than every stored value, and small enough for the arithmetic of windows


def is_dicom(encoded: bytes) -> bool:
    """Whether a file starts as DICOM does: with the preamble and "DICM", or, in old files, without them.

    A file without them starts with a data element of group 2 or 8 whose number is below 256.
    """
    return encoded[_MAGIC] == b"DICM" or (encoded[:2] in _FIRST_GROUPS and encoded[3:4] == b"\0")


def decode(encoded: bytes) -> NDArray[np.uint8]:
    """Decodes a DICOM file of one gray frame.

    If the file has neither a VOI LUT nor a window, its darkest pixel becomes 0 and its brightest 255.

    Args:
        encoded: a DICOM file in any transfer syntax that pydicom has a decoder for: uncompressed, RLE, JPEG
            with 8 bits, and JPEG 2000. Lossless JPEG needs pylibjpeg-libjpeg (GPL) or python-gdcm.

    Returns:
        uint8 array (height, width), 0 black to 255 white.

    Raises:
        UnreadableImage: if the file is damaged, is in colour, has several frames, has more than MAX_BITS or
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
        reason = textwrap.shorten(str(error), REASON_LENGTH) or type(error).__name__
        raise UnreadableImage(f"DICOM that pydicom cannot decode: {reason}") from error


@functools.cache
def import_pydicom() -> None:
    """Imports pydicom and silences it.

    Raises:
        UserError: if it is not installed.
    """
    try:
        import pydicom.pixels  # noqa: F401
    except ImportError:
        raise UserError(
            "DICOM files need pydicom: pip install chest-xray-pipeline[dicom], or convert them to PNG"
        ) from None
    # Files from hospitals break rules that do not change the pixels, and pydicom warns of each. What does
    # change them also raises. The filter stays for the whole process: warnings.catch_warnings is not
    # thread-safe.
    warnings.filterwarnings("ignore", module=r"pydicom\b")
    for name in ("openjpeg", "pydicom", "pylibjpeg"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _decode(encoded: bytes) -> NDArray[np.uint8]:
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(encoded), force=True)
    _check(dataset)
    _complete_transfer_syntax(dataset)
    stored = dataset.pixel_array
    # If there are more pixel bytes than one frame needs, pydicom returns several frames.
    if stored.shape != (dataset.Rows, dataset.Columns):
        raise UnreadableImage(f"DICOM with pixels of shape {stored.shape}: expected one frame")
    lowest, highest = int(stored.min()), int(stored.max())
    gray_of_value = _to_gray(np.arange(lowest, highest + 1), dataset)
    return gray_of_value[np.subtract(stored, lowest, dtype=np.int32)]


def _check(dataset: "pydicom.Dataset") -> None:
    """Refuses everything but a single gray image, before any pixel is decoded.

    Raises:
        UnreadableImage: if the file holds something else; the message says what.
    """
    if "PixelData" not in dataset or not dataset.get("Rows") or not dataset.get("Columns"):
        raise UnreadableImage("DICOM without pixels")
    height, width = int(dataset.Rows), int(dataset.Columns)
    if height * width > MAX_PIXELS:
        raise UnreadableImage(too_many_pixels(width, height))
    if (num_frames := int(dataset.get("NumberOfFrames") or 1)) > 1:
        raise UnreadableImage(f"DICOM with {num_frames} frames: expected one frame")
    colours, num_samples = dataset.get("PhotometricInterpretation"), int(dataset.get("SamplesPerPixel") or 1)
    if colours not in ("MONOCHROME1", "MONOCHROME2") or num_samples > 1:
        raise UnreadableImage(
            f"DICOM in {colours} with {num_samples} samples per pixel: "
            "expected MONOCHROME1 or MONOCHROME2 with 1"
        )
    if (bits := int(dataset.BitsAllocated)) > MAX_BITS:
        raise UnreadableImage(f"DICOM with {bits} bits per pixel: expected at most {MAX_BITS}")


def _complete_transfer_syntax(dataset: "pydicom.Dataset") -> None:
    """Adds the transfer syntax that pydicom found by reading, where the file does not name it.

    Files without a preamble mostly do not.
    """
    from pydicom import uid

    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, _ = dataset.original_encoding
        syntax = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = syntax


def _to_gray(stored_values: NDArray[np.integer[Any]], dataset: "pydicom.Dataset") -> NDArray[np.uint8]:
    """Turns stored values (values,) into gray, uint8 (values,)."""
    from pydicom.pixels.processing import apply_modality_lut

    shown, black, white = _apply_voi(apply_modality_lut(stored_values, dataset), dataset)
    scale = 255 / (white - black) if white != black else 0.0
    gray = np.rint((shown - black) * scale).astype(np.uint8)
    return np.invert(gray) if dataset.PhotometricInterpretation == "MONOCHROME1" else gray


def _apply_voi(values: NDArray[Any], dataset: "pydicom.Dataset") -> tuple[NDArray[np.float64], float, float]:
    """Applies the VOI LUT ("values of interest") or the window.

    Returns:
        The values that result, and which of them are shown black and white.
    """
    from pydicom.pixels.processing import apply_voi, apply_windowing

    if dataset.get("VOILUTSequence"):
        descriptor = dataset.VOILUTSequence[0]["LUTDescriptor"]
        num_entries, first, bits = descriptor.value
        # For a table of 8 bits, pydicom would also count the entries in 8 bits.
        descriptor.value = [num_entries, first, MAX_BITS]
        return apply_voi(values, dataset).astype(np.float64), 0, 2**bits - 1
    if dataset.get("WindowCenter") is None or dataset.get("WindowWidth") is None:
        return values.astype(np.float64), float(values.min()), float(values.max())
    with np.errstate(over="ignore"):  # the exponential of a sigmoid window overflows at _INFINITY
        black, white = apply_windowing(np.array([-_INFINITY, _INFINITY]), dataset)
        return apply_windowing(values, dataset), float(black), float(white)
