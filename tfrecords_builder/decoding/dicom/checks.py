"""What is refused before any pixel is decoded."""

import zlib
from typing import TYPE_CHECKING

from tfrecords_builder.decoding.errors import UnreadableImage
from tfrecords_builder.decoding.formats import MAX_PIXELS
from tfrecords_builder.decoding.headers import jpeg
from tfrecords_builder.decoding.headers.header import check_size

if TYPE_CHECKING:
    import pydicom

MAX_BITS = 16
"""Most bits of a stored value."""
BITS_ALLOCATED = (1, 8, 16)
"""Numbers of bits per pixel in the file that are read."""

MAX_DEFLATED_BYTES = MAX_BITS // 8 * MAX_PIXELS + (1 << 24)
"""Most bytes that the dataset of a deflated file may have: those of the pixels, and 16 MiB for the rest."""

_DEFLATED = b"1.2.840.10008.1.2.1.99"  # transfer syntax
_META_INFORMATION = 144  # position, after preamble, "DICM" and the element with the length of the rest
_JPEG_START = b"\xff\xd8"
_JPEG_2000_START = b"\xff\x4f\xff\x51"


def check_deflated_size(encoded: bytes) -> None:
    """Refuses a deflated file that is too large when it is inflated, which pydicom does without a limit.

    Raises:
        UnreadableImage: if it is.
    """
    meta_bytes = int.from_bytes(encoded[_META_INFORMATION - 4 : _META_INFORMATION], "little")
    dataset = _META_INFORMATION + meta_bytes
    if _DEFLATED in encoded[_META_INFORMATION:dataset]:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        inflate.decompress(encoded[dataset:], MAX_DEFLATED_BYTES)
        if inflate.unconsumed_tail:
            raise UnreadableImage(f"DICOM that is larger than {MAX_DEFLATED_BYTES} bytes when it is inflated")


def check(dataset: "pydicom.Dataset") -> None:
    """Refuses everything but a single gray image.

    Raises:
        UnreadableImage: if the file holds something else; the message says what.
    """
    if "PixelData" not in dataset or not dataset.get("Rows") or not dataset.get("Columns"):
        raise UnreadableImage("DICOM without pixels, or cut off before them")
    check_size("DICOM", int(dataset.Columns), int(dataset.Rows))
    if (num_frames := int(dataset.get("NumberOfFrames") or 1)) > 1:
        raise UnreadableImage(f"DICOM with {num_frames} frames: expected one frame")
    colors, num_samples = dataset.get("PhotometricInterpretation"), int(dataset.get("SamplesPerPixel") or 1)
    if colors not in ("MONOCHROME1", "MONOCHROME2") or num_samples > 1:
        raise UnreadableImage(
            f"DICOM in {colors} with {num_samples} samples per pixel: "
            "expected MONOCHROME1 or MONOCHROME2 with 1"
        )
    bits = int(dataset.get("BitsAllocated") or 0)
    if bits not in BITS_ALLOCATED:
        raise UnreadableImage(f"DICOM with {bits} bits per pixel: expected 1, 8 or {MAX_BITS}")
    expected = (int(dataset.Rows) * int(dataset.Columns) * bits + 7) // 8
    is_compressed = dataset.file_meta.TransferSyntaxUID.is_encapsulated
    if not is_compressed and (num_bytes := len(dataset.PixelData)) < expected:
        raise UnreadableImage(f"DICOM that is cut off: {num_bytes} bytes of pixels, expected {expected}")


def check_compressed(dataset: "pydicom.Dataset") -> None:
    """Refuses compressed pixels that no package decompresses, or whose own header says another size.

    Decoders allocate memory for the size that the compressed pixels say.

    Raises:
        UnreadableImage: if they are refused; the message says why.
    """
    from pydicom.encaps import get_frame
    from pydicom.pixels.decoders.base import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        is_available = get_decoder(syntax).is_available
    except NotImplementedError:
        is_available = False
    if not is_available:
        raise UnreadableImage(
            f"DICOM compressed as {syntax.name}: no installed package decompresses it; "
            "pylibjpeg-libjpeg or python-gdcm may"
        )
    claimed = _claimed_size(get_frame(dataset.PixelData, 0, number_of_frames=1))
    expected = (int(dataset.Columns), int(dataset.Rows), 1)
    if claimed is not None and claimed != expected:
        raise UnreadableImage(
            f"DICOM whose compressed pixels are {'x'.join(map(str, claimed))} "
            f"(width, height, samples): expected {'x'.join(map(str, expected))}"
        )


def _claimed_size(frame: bytes) -> tuple[int, int, int] | None:
    """Width, height and samples per pixel by the header of JPEG, JPEG-LS or JPEG 2000; None for others."""
    if frame.startswith(_JPEG_START):
        return jpeg.claimed_size(frame)
    if (start := frame.find(_JPEG_2000_START)) < 0:
        return None

    def number(position: int, size: int) -> int:
        return int.from_bytes(frame[start + position : start + position + size], "big")

    # Of the reference grid, the image is what lies right of and below its offset (ISO/IEC 15444-1, A.5.1).
    return number(8, 4) - number(16, 4), number(12, 4) - number(20, 4), number(40, 2)
