"""The header of a BMP (Microsoft, BITMAPINFOHEADER and its successors); its twin is `graph/bmp.py`.

Both decoders read the pixels themselves: they are not compressed, and each library reads other kinds of BMP.
"""

import dataclasses

from tfrecords_builder.decoding.errors import UnreadableImage
from tfrecords_builder.decoding.headers.header import Header

FILE_HEADER_BYTES = 14
FIXED_BYTES = 54
"""Bytes at the beginning of a file that hold everything but masks and palette."""
HEADER_BYTES = (40, 124)
"""Smallest and largest size of the header after the file header, in bytes."""
BITS = (8, 24, 32)
"""Bits per pixel that are read: indices of a palette, colors, and colors with a byte that is not used."""
UNCOMPRESSED, BIT_MASKS = 0, 3
MASKS = b"\0\0\xff\0\0\xff\0\0\xff\0\0\0"
"""Masks of red, green and blue that say what a BMP of 32 bits without masks has: blue, green, red."""
PALETTE_COLORS = 256


@dataclasses.dataclass(frozen=True)
class BmpHeader(Header):
    """What the header of a BMP says."""

    bits: int = 24
    """Bits per pixel, one of BITS."""
    is_top_down: bool = False
    """Whether the first row is the uppermost."""
    pixels: int = 0
    """Position of the first row in the file."""
    palette: tuple[int, int] = (0, 0)
    """Position of the palette in the file, and of its end: blue, green, red and a byte that is not used."""

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in the file: a multiple of 4."""
        return (self.width * self.bits // 8 + 3) // 4 * 4


def read(encoded: bytes) -> BmpHeader:
    """Reads the header of a BMP.

    Raises:
        UnreadableImage: if the file is cut off, or is a kind of BMP that is not read.
    """
    if len(encoded) < FIXED_BYTES:
        raise UnreadableImage(f"BMP that is cut off: {len(encoded)} bytes")
    pixels, header_bytes = _number(encoded, 10, 4), _number(encoded, 14, 4)
    bits, compression = _number(encoded, 28, 2), _number(encoded, 30, 4)
    if not HEADER_BYTES[0] <= header_bytes <= HEADER_BYTES[1]:
        raise UnreadableImage(f"BMP with a header of {header_bytes} bytes: expected 40 to 124")
    has_usual_masks = compression == BIT_MASKS and bits == 32 and encoded[54:66] == MASKS  # noqa: PLR2004
    if bits not in BITS or not (compression == UNCOMPRESSED or has_usual_masks):
        raise UnreadableImage(
            f"BMP with {bits} bits per pixel and compression {compression}: "
            "expected 8, 24 or 32 without compression; convert the image to PNG"
        )
    height = int.from_bytes(encoded[22:26], "little", signed=True)
    palette = FILE_HEADER_BYTES + header_bytes
    num_colors = min(_number(encoded, 46, 4) or PALETTE_COLORS, PALETTE_COLORS)
    header = BmpHeader(
        "BMP",
        width=int.from_bytes(encoded[18:22], "little", signed=True),
        height=abs(height),
        bits=bits,
        is_top_down=height < 0,
        pixels=pixels,
        palette=(palette, palette + 4 * num_colors),
    )
    if (needed := pixels + header.row_bytes * header.height) > len(encoded):
        raise UnreadableImage(f"BMP that is cut off: {len(encoded)} bytes, expected {needed}")
    return header


def _number(encoded: bytes, position: int, size: int) -> int:
    return int.from_bytes(encoded[position : position + size], "little")
