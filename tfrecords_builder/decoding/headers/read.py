"""The one check of an image file's header, before anything is decoded or sent."""

from tfrecords_builder.decoding.errors import UnreadableImage
from tfrecords_builder.decoding.formats import BEGINNING_BYTES, DICOM, FORMATS, expected, recognize
from tfrecords_builder.decoding.headers import bmp, gif, jpeg, png
from tfrecords_builder.decoding.headers.header import Header

_READERS = {"JPEG": jpeg.read, "PNG": png.read, "BMP": bmp.read, "GIF": gif.read}


def read_header(encoded: bytes) -> Header:
    """Reads the header of a JPEG, PNG, BMP or GIF file.

    It refuses what the served model refuses, as far as that can be told without decoding: other formats, a
    size above the limits, kinds of pixels that are not read, and files that are cut off. A file that claims
    60000x60000 pixels allocates no memory for them.

    Args:
        encoded: the whole file.

    Raises:
        UnreadableImage: if the file is refused; the message says why.
    """
    name = recognize(encoded[:BEGINNING_BYTES])
    if name in _READERS:
        return _READERS[name](encoded)
    if name == DICOM:
        raise UnreadableImage("DICOM is read by the builder and the client only: convert the image to PNG")
    if name is not None:
        raise UnreadableImage(f"{name} is not read: convert the image to PNG")
    raise UnreadableImage(
        f"not a {expected(FORMATS)} image: {len(encoded)} bytes that start with {encoded[:8]!r}"
    )
