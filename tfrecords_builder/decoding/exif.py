"""Where EXIF stores the orientation of a JPEG, and what it means: the same for both decoders.

A segment with EXIF holds MARK and then a TIFF file, whose first directory may have the orientation.
Sources: EXIF 2.32, section 4.6.4, tag 0x0112; TIFF 6.0, section 2.
"""

MARK = b"Exif\0\0"

BYTE_ORDERS = {b"MM\0*": "big", b"II*\0": "little"}
"""Order of the bytes of numbers, by the first bytes of the TIFF file."""
FIELD_BYTES = 12
"""Bytes of one field of the directory."""
MAX_FIELDS = 256
"""Number of fields of the directory in which the tag is searched."""
TAGS = {
    "big": b"\x01\x12\x00\x03\x00\x00\x00\x01",
    "little": b"\x12\x01\x03\x00\x01\x00\x00\x00",
}
"""Bytes of the field before the orientation (tag, type SHORT, one value), by the order of the bytes."""

UPRIGHT = 1
LARGEST = 8
TRANSPOSED, ROWS_REVERSED, COLUMNS_REVERSED = (5, 6, 7, 8), (3, 4, 7, 8), (2, 3, 6, 7)
"""The orientations that need each of these operations, which are applied in this order."""


def read(encoded: bytes, tiff: int) -> int:
    """Reads the orientation.

    Args:
        encoded: a JPEG.
        tiff: position of the TIFF file in it.

    Returns:
        The orientation, 1 (upright) to 8; 1 if there is none, or EXIF is damaged.
    """
    order = BYTE_ORDERS.get(encoded[tiff : tiff + 4])
    if order not in TAGS:
        return UPRIGHT

    def number(position: int, size: int) -> int:
        digits = encoded[position : position + size].ljust(size, b"\0")
        return int.from_bytes(digits, order)  # type: ignore[arg-type]

    directory = tiff + number(tiff + 4, 4)
    num_fields = min(number(directory, 2), MAX_FIELDS)
    for field in range(directory + 2, directory + 2 + num_fields * FIELD_BYTES, FIELD_BYTES):
        if encoded.startswith(TAGS[order], field):
            orientation = number(field + len(TAGS[order]), 2)
            return orientation if UPRIGHT <= orientation <= LARGEST else UPRIGHT
    return UPRIGHT
