"""Decodes DICOM X-rays to the gray that a viewer shows, with pydicom (extra `dicom`).

The stored values go through the modality LUT (or rescale slope and intercept), then through the VOI LUT or
the first window, and are inverted if MONOCHROME1: DICOM PS3.4, Annex N.2. X-rays have at most 16 bits, so
that the whole chain is computed once per level, not once per pixel.
"""

import functools
import io
import logging
import textwrap
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tfrecords_builder.decoding.opencv import MAX_PIXELS, UnreadableImage
from tfrecords_builder.errors import UserError

if TYPE_CHECKING:
    import pydicom

MAX_BITS = 16  # of a stored value
REASON_LENGTH = 400  # characters: pydicom quotes what it stumbles over, however long

_MAGIC = slice(128, 132)  # after the preamble
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")  # of files without a preamble, little endian
_INFINITY = 1e30  # for windows: beyond every stored value, and a number that they still compute with


def is_dicom(encoded: bytes) -> bool:
    """Whether a file starts as DICOM, with the preamble and the magic, or, as old files do, without them.

    Of a file without them, the first data element is of group 2 or 8 and numbered below 256.
    """
    return encoded[_MAGIC] == b"DICM" or (encoded[:2] in _FIRST_GROUPS and encoded[3:4] == b"\0")


def decode(encoded: bytes) -> NDArray[np.uint8]:
    """Decodes one gray frame.

    Without a VOI LUT and a window, the darkest and brightest pixel become 0 and 255.

    Args:
        encoded: a DICOM file of any transfer syntax that pydicom has a decoder for: uncompressed, RLE, JPEG
            of 8 bits and JPEG 2000; for lossless JPEG, install pylibjpeg-libjpeg (GPL) or python-gdcm.

    Returns:
        uint8 array (height, width), 0 black to 255 white.

    Raises:
        UnreadableImage: if it is damaged, in colour, of many frames, of more than MAX_BITS or MAX_PIXELS, or
            compressed in a way that nothing installed decompresses.
        UserError: if pydicom is not installed.
    """
    _import_pydicom()
    try:
        return _decode(encoded)
    except UnreadableImage:
        raise
    # pydicom and its decoders promise no set of exceptions: struct, zlib and numpy raise theirs.
    except Exception as error:
        reason = textwrap.shorten(str(error), REASON_LENGTH) or type(error).__name__
        raise UnreadableImage(f"DICOM that pydicom cannot decode: {reason}") from error


@functools.cache
def _import_pydicom() -> None:
    try:
        import pydicom.pixels  # noqa: F401
    except ImportError:
        raise UserError(
            "DICOM files need pydicom: pip install chest-xray-pipeline[dicom], or convert them to PNG"
        ) from None
    # Hospitals' files break rules that do not touch the pixels, and pydicom reports each; what does touch
    # them it logs and raises. Silenced for the process: warnings.catch_warnings is not safe in threads.
    warnings.filterwarnings("ignore", module=r"pydicom\b")
    for talkative in ("openjpeg", "pydicom", "pylibjpeg"):
        logging.getLogger(talkative).setLevel(logging.CRITICAL)


def _decode(encoded: bytes) -> NDArray[np.uint8]:
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(encoded), force=True)
    _check(dataset)
    _complete_transfer_syntax(dataset)
    stored = dataset.pixel_array
    # pydicom takes pixels that are too many for further frames.
    if stored.shape != (dataset.Rows, dataset.Columns):
        raise UnreadableImage(f"DICOM with pixels of shape {stored.shape}: expected one frame")
    lowest, highest = int(stored.min()), int(stored.max())
    levels = _gray_of_levels(np.arange(lowest, highest + 1), dataset)
    return levels[np.subtract(stored, lowest, dtype=np.int32)]


def _check(dataset: "pydicom.Dataset") -> None:
    """Refuses what is no gray X-ray before a pixel is decoded.

    Raises:
        UnreadableImage: saying why.
    """
    if "PixelData" not in dataset or not dataset.get("Rows") or not dataset.get("Columns"):
        raise UnreadableImage("DICOM without pixels")
    height, width = int(dataset.Rows), int(dataset.Columns)
    if height * width > MAX_PIXELS:
        raise UnreadableImage(f"{width}x{height} pixels are more than the limit of {MAX_PIXELS}")
    if (frames := int(dataset.get("NumberOfFrames") or 1)) > 1:
        raise UnreadableImage(f"DICOM of {frames} frames: expected a single image")
    colours, samples = dataset.get("PhotometricInterpretation"), int(dataset.get("SamplesPerPixel") or 1)
    if colours not in ("MONOCHROME1", "MONOCHROME2") or samples > 1:
        raise UnreadableImage(
            f"DICOM in {colours}, {samples} samples a pixel: expected one, MONOCHROME1 or 2"
        )
    if (bits := int(dataset.BitsAllocated)) > MAX_BITS:
        raise UnreadableImage(f"DICOM of {bits} bits a pixel: expected at most {MAX_BITS}")


def _complete_transfer_syntax(dataset: "pydicom.Dataset") -> None:
    """Files without a preamble mostly do not name their encoding; pydicom has found it out by reading."""
    from pydicom import uid

    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, _ = dataset.original_encoding
        syntax = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = syntax


def _gray_of_levels(levels: NDArray[np.integer[Any]], dataset: "pydicom.Dataset") -> NDArray[np.uint8]:
    """What every stored value (levels,) is shown as: uint8 (levels,)."""
    from pydicom.pixels.processing import apply_modality_lut

    shown, black, white = _values_of_interest(apply_modality_lut(levels, dataset), dataset)
    scale = 255 / (white - black) if white != black else 0.0
    gray = np.rint((shown - black) * scale).astype(np.uint8)
    return np.invert(gray) if dataset.PhotometricInterpretation == "MONOCHROME1" else gray


def _values_of_interest(
    values: NDArray[Any], dataset: "pydicom.Dataset"
) -> tuple[NDArray[np.float64], float, float]:
    """Applies the VOI LUT or window; returns also the values that it shows black and white."""
    from pydicom.pixels.processing import apply_voi, apply_windowing

    if dataset.get("VOILUTSequence"):
        descriptor = dataset.VOILUTSequence[0]["LUTDescriptor"]
        entries, first, bits = descriptor.value
        # pydicom would also count the entries of an 8-bit table in 8 bits.
        descriptor.value = [entries, first, MAX_BITS]
        return apply_voi(values, dataset).astype(np.float64), 0, 2**bits - 1
    if dataset.get("WindowCenter") is None or dataset.get("WindowWidth") is None:
        return values.astype(np.float64), float(values.min()), float(values.max())
    with np.errstate(over="ignore"):  # of the exponential in a sigmoid window
        black, white = apply_windowing(np.array([-_INFINITY, _INFINITY]), dataset)
        return apply_windowing(values, dataset), float(black), float(white)
