"""Decodes JPEG, PNG, BMP and GIF files to gray with OpenCV, for the builder.

`graph/` does the same with TensorFlow. Both agree to the bit wherever they decode with the same library:

- The gray of a JPEG is its stored luma. That of other color images, and of CMYK, is ITU-R BT.601 luma.
- JPEGs are rotated and mirrored as their EXIF says.
- Transparency is ignored. GIFs give their first image, without the canvas around it.
- Samples of 16 bits become 8 by one of the rules of `scaling.SixteenBits`.
- A large JPEG may be decoded at a fraction of its size (`reduction.py`); CMYK and other formats never are.
"""

import contextlib
import functools
import io
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from tfrecords_builder.cli.startup import load_tensorflow
from tfrecords_builder.decoding import exif
from tfrecords_builder.decoding.errors import UnreadableImage
from tfrecords_builder.decoding.headers.bmp import PALETTE_COLORS, BmpHeader
from tfrecords_builder.decoding.headers.jpeg import JpegHeader, has_readable_end
from tfrecords_builder.decoding.headers.png import (
    FIRST_POSITION,
    LARGEST_BIT_DEPTH,
    WRONG_CHECKSUM,
    PngHeader,
    chunk_with_wrong_checksum,
)
from tfrecords_builder.decoding.headers.read import read_header
from tfrecords_builder.decoding.reduction import Decoded, reduction
from tfrecords_builder.decoding.scaling import LUMA, LUMA_SHIFT, SixteenBits, blocks_of_rows, spread

_FLAGS = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
"""By the factors of `reduction`."""


def decode(encoded: bytes, sixteen_bits: SixteenBits = "range", smallest_side: int | None = None) -> Decoded:
    """Decodes an image file to gray.

    Args:
        encoded: a JPEG, PNG, BMP or GIF file.
        sixteen_bits: how samples of 16 bits become 8.
        smallest_side: as of `reduction`; None decodes every image whole.

    Returns:
        The image, and the size of the whole one.

    Raises:
        UnreadableImage: if the file is damaged, has another format, or has more than MAX_PIXELS.
    """
    header = read_header(encoded)
    match header:
        case JpegHeader():
            return _decode_jpeg(encoded, header, smallest_side)
        case PngHeader():
            return Decoded.whole(_decode_png(encoded, header, sixteen_bits))
        case BmpHeader():
            return Decoded.whole(_decode_bmp(encoded, header))
    return Decoded.whole(_decode_gif(encoded))


def _decode_jpeg(jpeg: bytes, header: JpegHeader, smallest_side: int | None) -> Decoded:
    if header.is_cmyk:
        image = _decode_cmyk(jpeg, header)
    else:
        image = _decode_luma(jpeg, header, reduction(header.height, header.width, smallest_side))
    is_turned = header.orientation in exif.TRANSPOSED
    height, width = (header.width, header.height) if is_turned else (header.height, header.width)
    return Decoded(_upright(image, header.orientation), height, width)


def _decode_luma(jpeg: bytes, header: JpegHeader, factor: int) -> NDArray[np.uint8]:
    """Decodes a JPEG to its stored luma: with simplejpeg if it is whole, and with OpenCV if it is not.

    Of damaged pixels, OpenCV makes the same as TensorFlow, but does not read on to the end of the image.
    """
    # simplejpeg takes the largest reduction that leaves so many pixels.
    height, width = (0, 0) if factor == 1 else (-(-header.height // factor), -(-header.width // factor))
    try:
        return simplejpeg.decode_jpeg(
            jpeg, "GRAY", fastdct=False, fastupsample=False, min_height=height, min_width=width
        )[..., 0]
    except ValueError:  # it is damaged, or subsampled in a way that simplejpeg does not know
        if not has_readable_end(jpeg, header):
            raise _damaged("JPEG") from None
    return _imdecode(jpeg, _FLAGS[factor], "JPEG")


def _damaged(file_format: str) -> UnreadableImage:
    return UnreadableImage(f"damaged {file_format}: its pixels cannot be decompressed")


def _imdecode(encoded: bytes | memoryview, flags: int, file_format: str) -> NDArray[Any]:
    _silence_opencv()
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        image = None
    if image is None:
        raise _damaged(file_format)
    return image


@functools.cache
def _silence_opencv() -> None:
    """Keeps OpenCV from writing to stderr about damaged files, which are reported with their names."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _decode_cmyk(jpeg: bytes, header: JpegHeader) -> NDArray[np.uint8]:
    """Decodes a CMYK JPEG as TensorFlow does; OpenCV ignores whether the inks are inverted."""
    inks = _decode_inks(jpeg, header)
    gray = np.empty(inks.shape[:2], np.uint8)
    for rows in blocks_of_rows(gray.shape):
        block = inks[rows].astype(np.int32)
        reflected = block if header.has_inverted_inks else 255 - block  # light, 0 to 255
        rgb = (reflected[..., 3:] * reflected[..., :3] // 255).astype(np.uint8)
        gray[rows] = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return gray


def _decode_inks(jpeg: bytes, header: JpegHeader) -> NDArray[np.uint8]:
    """The inks as stored, uint8 (height, width, 4)."""
    with contextlib.suppress(ValueError):  # as in `_decode_luma`
        return simplejpeg.decode_jpeg(jpeg, "CMYK", fastdct=False, fastupsample=False)
    if not has_readable_end(jpeg, header):
        raise _damaged("JPEG")
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
            return 255 - np.asarray(image)  # Pillow inverts the inks of every file
    except (OSError, SyntaxError, ValueError):
        raise _damaged("JPEG") from None


def _decode_png(encoded: bytes, header: PngHeader, sixteen_bits: SixteenBits) -> NDArray[np.uint8]:
    is_spread = header.bits == LARGEST_BIT_DEPTH and sixteen_bits == "range"
    flags = cv2.IMREAD_GRAYSCALE if header.is_gray else cv2.IMREAD_COLOR
    try:
        image = _imdecode(
            _critical_chunks(encoded, header), flags | (cv2.IMREAD_ANYDEPTH if is_spread else 0), "PNG"
        )
    except UnreadableImage:
        if name := chunk_with_wrong_checksum(encoded):
            raise UnreadableImage(WRONG_CHECKSUM.format(name)) from None
        raise
    if is_spread:
        return spread(image if header.is_gray else _luma_of_16_bits(image))
    return image if header.is_gray else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)  # type: ignore[return-value]


def _critical_chunks(encoded: bytes, header: PngHeader) -> bytes | memoryview:
    """The same PNG with nothing but what decides the pixels: OpenCV would play animations."""
    whole = memoryview(encoded)
    if len(header.critical) == 1:
        return whole[: header.critical[0].stop]
    return b"".join([whole[:FIRST_POSITION], *(whole[part] for part in header.critical)])


def _luma_of_16_bits(bgr: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Turns uint16 (height, width, 3) into uint16 (height, width); cv2.cvtColor rounds it otherwise."""
    luma = np.empty(bgr.shape[:2], np.uint16)
    for rows in blocks_of_rows(luma.shape):
        weighted = bgr[rows].astype(np.uint32) @ np.array(LUMA[::-1], np.uint32)
        luma[rows] = (weighted + (1 << LUMA_SHIFT - 1)) >> LUMA_SHIFT
    return luma


def _decode_bmp(encoded: bytes, header: BmpHeader) -> NDArray[np.uint8]:
    size = header.row_bytes * header.height
    rows = np.frombuffer(encoded, np.uint8, size, header.pixels).reshape(header.height, header.row_bytes)
    if not header.is_top_down:
        rows = rows[::-1]
    channels = header.bits // 8
    pixels = rows[:, : header.width * channels].reshape(header.height, header.width, channels)
    if channels == 1:
        colors = encoded[slice(*header.palette)].ljust(4 * PALETTE_COLORS, b"\0")
        palette = np.frombuffer(colors, np.uint8).reshape(1, PALETTE_COLORS, 4)
        return cv2.cvtColor(palette, cv2.COLOR_BGRA2GRAY)[0][pixels[..., 0]]
    return cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2GRAY)  # type: ignore[return-value]


def _decode_gif(encoded: bytes) -> NDArray[np.uint8]:
    """Decodes a GIF with TensorFlow: OpenCV refuses damage that TensorFlow's decoder reads over."""
    load_tensorflow()
    import tensorflow as tf

    from tfrecords_builder.decoding.graph import gif

    try:
        return gif.decode(tf.constant(encoded)).numpy()[..., 0]
    except tf.errors.OpError:
        raise _damaged("GIF") from None


def _upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    if orientation in exif.TRANSPOSED:
        image = image.T
    if orientation in exif.ROWS_REVERSED:
        image = image[::-1]
    if orientation in exif.COLUMNS_REVERSED:
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
