"""The blocks of a GIF up to its first image (CompuServe, GIF89a); their twin is `graph/gif.py`."""

from tfrecords_builder.decoding.errors import UnreadableImage
from tfrecords_builder.decoding.headers.header import Header

FLAGS_POSITION = 10
"""Position of the byte that says whether a table of colors for all images follows, and how large it is."""
SCREEN_BYTES = 13
"""Bytes before that table."""
DESCRIPTOR_BYTES = 10
"""Bytes of a block that describes an image: its offset, its size, and flags in the last."""
SIZE_POSITION = 5
"""Position in that block of the width, and then the height, in two bytes each."""
EXTENSION, IMAGE = 0x21, 0x2C
"""First bytes of the blocks of a GIF: anything else ends it."""
HAS_TABLE, TABLE_SIZE = 0x80, 0x07
"""Bits of both bytes of flags."""


def read(encoded: bytes) -> Header:
    """Reads the size of the first image of a GIF.

    Raises:
        UnreadableImage: if there is no image, or it has no table of colors.
    """
    try:
        image = _first_image(encoded)
        flags = encoded[FLAGS_POSITION] | encoded[image + DESCRIPTOR_BYTES - 1]
    except IndexError:
        raise UnreadableImage("GIF that is cut off before its first image") from None
    if not flags & HAS_TABLE:
        raise UnreadableImage("GIF without a table of colors")
    size = encoded[image + SIZE_POSITION : image + SIZE_POSITION + 4]
    return Header("GIF", int.from_bytes(size[:2], "little"), int.from_bytes(size[2:], "little"))


def _first_image(encoded: bytes) -> int:
    """Returns the position of the block that describes the first image.

    Raises:
        IndexError: if the file ends before it.
        UnreadableImage: if there is none.
    """
    position = SCREEN_BYTES + table_bytes(encoded[FLAGS_POSITION])
    while encoded[position] == EXTENSION:
        position += 2
        while size := encoded[position]:
            position += 1 + size
        position += 1
    if encoded[position] != IMAGE:
        raise UnreadableImage("damaged GIF: it has no image")
    return position


def table_bytes(flags: int) -> int:
    """Bytes of the table of colors that flags announce."""
    return 3 << (flags & TABLE_SIZE) + 1 if flags & HAS_TABLE else 0
