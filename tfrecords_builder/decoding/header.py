"""The one check of an image file's header, before anything is decoded or sent.

It reads only the header: a file that claims 60000x60000 pixels allocates no memory for them.
"""

import dataclasses
import io

from PIL import Image

from tfrecords_builder.decoding.errors import UnreadableImage
from tfrecords_builder.decoding.formats import FORMATS, MAX_PIXELS, too_many_pixels


@dataclasses.dataclass(frozen=True)
class Header:
    """What the header of an image file says."""

    file_format: str
    """One of FORMATS."""
    width: int
    """Width in pixels, as stored: EXIF may ask to rotate the image."""
    height: int
    """Height in pixels, as stored."""
    is_cmyk: bool
    """Whether the colours are stored as CMYK, or as YCCK, which decoders turn into CMYK."""
    has_inverted_inks: bool
    """Whether a CMYK image stores 255 for no ink, as Adobe's programs do."""


def read_header(encoded: bytes) -> Header:
    """Reads the header of a JPEG, PNG, BMP or GIF file.

    Args:
        encoded: the file; only its beginning is looked at.

    Raises:
        UnreadableImage: if the file has none of FORMATS, or has more than MAX_PIXELS.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            header = Header(
                file_format=str(image.format),
                width=image.width,
                height=image.height,
                is_cmyk=image.mode == "CMYK",
                has_inverted_inks="adobe" in image.info,
            )
    except Image.DecompressionBombError:  # Pillow's own limit is higher than MAX_PIXELS
        raise UnreadableImage(f"the image has more pixels than the limit of {MAX_PIXELS}") from None
    except (OSError, ValueError, SyntaxError):
        raise UnreadableImage(
            f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image: "
            f"{len(encoded)} bytes that start with {encoded[:8]!r}"
        ) from None
    if header.width * header.height > MAX_PIXELS:
        raise UnreadableImage(too_many_pixels(header.width, header.height))
    return header
