"""Where EXIF stores the orientation of a JPEG, and what it means: the same for both decoders.

Source: EXIF 2.32, section 4.6.4, tag 0x0112: one value of type SHORT, in either byte order.
"""

MARK = b"Exif\0\0"
MARK_POSITIONS = (6, 22, 24)
"""Where the mark may be in a file, in bytes: in the first segment, or after the segment of Adobe or JFIF."""

DIRECTORY_BYTES = 512
"""Number of bytes after the mark in which the tag is searched."""

TAGS = {
    b"MM": b"\x01\x12\x00\x03\x00\x00\x00\x01\x00",
    b"II": b"\x12\x01\x03\x00\x01\x00\x00\x00",
}
"""All bytes of the tag that come before the orientation, by the mark of the byte order."""

UPRIGHT = 1
LARGEST = 8
TRANSPOSED, ROWS_REVERSED, COLUMNS_REVERSED = (5, 6, 7, 8), (3, 4, 7, 8), (2, 3, 6, 7)
"""The orientations that need each of these operations, which are applied in this order."""


def read_orientation(encoded: bytes) -> int:
    """Returns the orientation of a JPEG, 1 (upright) to 8; it is 1 if the file has none."""
    for position in MARK_POSITIONS:
        if encoded.startswith(MARK, position):
            return _orientation_in_directory(encoded[position + len(MARK) :][:DIRECTORY_BYTES])
    return UPRIGHT


def _orientation_in_directory(directory: bytes) -> int:
    tag = TAGS.get(directory[:2])
    if tag is None or (found := directory.find(tag)) < 0:
        return UPRIGHT
    value = directory[found + len(tag) :][:1]
    return value[0] if value and UPRIGHT <= value[0] <= LARGEST else UPRIGHT
