"""Decodes JPEG, PNG, BMP and GIF files to gray with OpenCV, for the builder.

`graph.py` does the same with TensorFlow. Both agree to the bit wherever they decode with the same library:

- The gray of a JPEG is its stored luma. That of other colour images, and of CMYK, is ITU-R BT.601 luma.
- JPEGs are rotated and mirrored as their EXIF says.
- Transparency is ignored, and samples of 16 bits are cut to their high byte. GIFs give their first frame.
"""

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tfrecords_builder.decoding import exif
from tfrecords_builder.decoding.errors import UnreadableImage
from tfrecords_builder.decoding.formats import FORMATS
from tfrecords_builder.decoding.header import Header, read_header


def decode(encoded: bytes) -> NDArray[np.uint8]:
    """Decodes an image file to gray with OpenCV, or with Pillow if it is in CMYK.

    Args:
        encoded: a JPEG, PNG, BMP or GIF file.

    Returns:
        uint8 array (height, width), 0 to 255.

    Raises:
        UnreadableImage: if the file is damaged, has another format, or has more than MAX_PIXELS.
    """
    header = read_header(encoded)
    image = _decode_cmyk(encoded, header) if header.is_cmyk else _decode_gray(encoded, header)
    return _upright(image, exif.read_orientation(encoded)) if header.file_format == "JPEG" else image


def _decode_gray(encoded: bytes, header: Header) -> NDArray[np.uint8]:
    reads_luma = header.file_format == "JPEG"
    flags = cv2.IMREAD_GRAYSCALE if reads_luma else cv2.IMREAD_COLOR
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise UnreadableImage(f"OpenCV cannot decode this {header.file_format}: {error.err}") from None
    if image is None:
        raise UnreadableImage(f"damaged {header.file_format}: OpenCV cannot decode it")
    return image if reads_luma else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)  # type: ignore[return-value]


def _decode_cmyk(encoded: bytes, header: Header) -> NDArray[np.uint8]:
    """Decodes a CMYK JPEG as TensorFlow does; OpenCV ignores whether the inks are inverted."""
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            inks = np.asarray(image, np.int32)
    except (OSError, SyntaxError) as error:
        raise UnreadableImage(f"damaged JPEG in CMYK: {error}") from None
    # Pillow inverts the inks of every file. `reflected` is how much light each ink reflects, 0 to 255.
    reflected = 255 - inks if header.has_inverted_inks else inks
    rgb = (reflected[..., 3:] * reflected[..., :3] // 255).astype(np.uint8)
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]


def _upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    if orientation in exif.TRANSPOSED:
        image = image.T
    if orientation in exif.ROWS_REVERSED:
        image = image[::-1]
    if orientation in exif.COLUMNS_REVERSED:
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
