"""What the header of every image file says."""

import dataclasses

from tfrecords_builder.decoding.errors import UnreadableImage
from tfrecords_builder.decoding.formats import MAX_PIXELS, MAX_SIDE


@dataclasses.dataclass(frozen=True)
class Header:
    """What the header of an image file says.

    Raises:
        UnreadableImage: if it claims no pixel, or more than MAX_PIXELS or MAX_SIDE.
    """

    file_format: str
    """One of FORMATS."""
    width: int
    """Width in pixels, as stored: EXIF may ask to rotate the image."""
    height: int
    """Height in pixels, as stored."""

    def __post_init__(self) -> None:
        check_size(self.file_format, self.width, self.height)


def check_size(file_format: str, width: int, height: int) -> None:
    """Refuses the size that the header of a file claims, before any memory is allocated for it.

    Raises:
        UnreadableImage: if there is no pixel, or more than MAX_PIXELS or MAX_SIDE.
    """
    if width < 1 or height < 1:
        raise UnreadableImage(f"{file_format} of {width}x{height} pixels: there is nothing to see")
    if width * height > MAX_PIXELS:
        raise UnreadableImage(f"{width}x{height} pixels are more than the limit of {MAX_PIXELS}")
    if max(width, height) > MAX_SIDE:
        raise UnreadableImage(f"{width}x{height} pixels: the limit of each side is {MAX_SIDE}")
