"""Decodes an image file to gray, upright: with OpenCV for the builder, and with TensorFlow for the graph.

Both read JPEG, PNG, BMP and GIF (first frame), and agree to the bit wherever they decode with the same
library. The gray of a JPEG is its stored luma; of other colour images, and of JPEGs in CMYK, ITU-R BT.601
luma. JPEGs are turned as their EXIF says. Transparency is ignored, 16-bit samples are cut to their high byte.
DICOM is read by the builder alone: no TensorFlow operation reads it.
"""

import dataclasses
import functools
import io
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    import tensorflow as tf

MAX_PIXELS = 1 << 26  # 67 megapixels: three times the largest X-ray of the public datasets
FORMATS = ("JPEG", "PNG", "BMP", "GIF")

# ITU-R BT.601 luma in 15-bit fixed point, the integers that OpenCV's cvtColor uses.
_LUMA_RED, _LUMA_GREEN, _LUMA_BLUE = 9798, 19235, 3735
_LUMA_SHIFT = 15
_CMYK_COMPONENTS = 4

# EXIF 2.32, 4.6.4: the tag of the orientation (0x0112), one value of type SHORT, in either byte order.
_EXIF_MARK = b"Exif\0\0"
_EXIF_PLACES = (6, 22, 24)  # of the mark in a file, bytes: in its first segment, or behind Adobe's or JFIF's
_DIRECTORY_SEARCHED = 512  # bytes behind the mark in which the tag is looked for
_ORIENTATION_TAGS = {
    b"MM": b"\x01\x12\x00\x03\x00\x00\x00\x01\x00",
    b"II": b"\x12\x01\x03\x00\x01\x00\x00\x00",
}
_UPRIGHT = 1
_TRANSPOSED, _ROWS_REVERSED, _COLUMNS_REVERSED = (5, 6, 7, 8), (3, 4, 7, 8), (2, 3, 6, 7)


class UnreadableImage(ValueError):
    """The bytes are no image that this project reads; the message says why."""


@dataclasses.dataclass(frozen=True)
class _Header:
    file_format: str
    in_cmyk: bool
    """Also YCCK, which decoders turn into CMYK."""
    inks_inverted: bool
    """As Adobe's programs store them."""


def decode(encoded: bytes) -> NDArray[np.uint8]:
    """Decodes an image file to gray with OpenCV (CMYK with Pillow), or DICOM with pydicom.

    Returns:
        uint8 array (height, width), 0 to 255.

    Raises:
        UnreadableImage: if the bytes are damaged, no such image, or more than MAX_PIXELS.
        UserError: for DICOM without the extra that reads it.
    """
    from tfrecords_builder.decoding import dicom  # here: it imports this module

    if dicom.is_dicom(encoded):
        return dicom.decode(encoded)
    header = _read_header(encoded)
    image = _decode_cmyk(encoded, header) if header.in_cmyk else _decode_gray(encoded, header)
    return _turned(image, _orientation(encoded)) if header.file_format == "JPEG" else image


def _read_header(encoded: bytes) -> _Header:
    """Reads the header alone, so that a file that claims 60000x60000 allocates nothing."""
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as opened:
            (width, height), mode = opened.size, opened.mode
            header = _Header(str(opened.format), mode == "CMYK", "adobe" in opened.info)
    except Image.DecompressionBombError:  # Pillow has a limit of its own, above ours
        raise UnreadableImage(f"more pixels than the limit of {MAX_PIXELS}") from None
    except (OSError, ValueError, SyntaxError):
        raise UnreadableImage(
            f"no {', '.join(FORMATS)} image: {len(encoded)} bytes that start with {encoded[:8]!r}"
        ) from None
    if width * height > MAX_PIXELS:
        raise UnreadableImage(f"{width}x{height} pixels are more than the limit of {MAX_PIXELS}")
    return header


def _decode_gray(encoded: bytes, header: _Header) -> NDArray[np.uint8]:
    as_gray = header.file_format == "JPEG"
    flags = cv2.IMREAD_GRAYSCALE if as_gray else cv2.IMREAD_COLOR
    buffer = np.frombuffer(encoded, np.uint8)
    try:
        image = cv2.imdecode(buffer, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise UnreadableImage(f"OpenCV cannot decode this {header.file_format}: {error.err}") from None
    if image is None:
        raise UnreadableImage(f"damaged {header.file_format}: OpenCV cannot decode it")
    return image if as_gray else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)  # type: ignore[return-value]


def _decode_cmyk(encoded: bytes, header: _Header) -> NDArray[np.uint8]:
    """As TensorFlow does; OpenCV takes no notice of whether the inks are inverted."""
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as opened:
            inks = np.asarray(opened, np.int32)
    except (OSError, SyntaxError) as error:
        raise UnreadableImage(f"damaged JPEG in CMYK: {error}") from None
    # Pillow takes all inks for inverted; `absent` is how much of each is not there.
    absent = 255 - inks if header.inks_inverted else inks
    rgb = (absent[..., 3:] * absent[..., :3] // 255).astype(np.uint8)
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]


def _orientation(encoded: bytes) -> int:
    """EXIF's orientation of a JPEG, 1 (upright) to 8; 1 if it has none."""
    for place in _EXIF_PLACES:
        if encoded.startswith(_EXIF_MARK, place):
            directory = encoded[place + len(_EXIF_MARK) :][:_DIRECTORY_SEARCHED]
            tag = _ORIENTATION_TAGS.get(directory[:2])
            found = directory.find(tag) if tag else -1
            value = directory[found + len(tag) :][:1] if tag and found >= 0 else b""
            return value[0] if value and _UPRIGHT <= value[0] <= max(_TRANSPOSED) else _UPRIGHT
    return _UPRIGHT


def _turned(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    if orientation in _TRANSPOSED:
        image = image.T
    if orientation in _ROWS_REVERSED:
        image = image[::-1]
    if orientation in _COLUMNS_REVERSED:
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def decode_in_graph(encoded: "tf.Tensor") -> "tf.Tensor":
    """Decodes an image file to gray with TensorFlow operations; the twin of `decode`, but for DICOM.

    Args:
        encoded: scalar string tensor, a JPEG, PNG, BMP or GIF file.

    Returns:
        uint8 tensor (height, width, 1), 0 to 255.
    """
    import tensorflow as tf

    def jpeg() -> tf.Tensor:
        size = tf.cast(tf.image.extract_jpeg_shape(encoded), tf.int64)
        with tf.control_dependencies([_check_pixels_in_graph(size[0] * size[1])]):
            image = tf.cond(
                tf.equal(size[2], _CMYK_COMPONENTS),
                lambda: _luma_in_graph(_decode_jpeg_in_graph(encoded, channels=3)),
                lambda: _decode_jpeg_in_graph(encoded, channels=1),
            )
        return _turned_in_graph(image, _orientation_in_graph(encoded))

    def other() -> tf.Tensor:
        with tf.control_dependencies([_check_pixels_in_graph(_claimed_pixels(encoded))]):
            image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        image = tf.ensure_shape(image, (None, None, 3))
        return _luma_in_graph(
            tf.cond(_is_indexed_bmp(encoded), lambda: _coloured(encoded, image), lambda: image)
        )

    is_jpeg = tf.equal(tf.strings.substr(encoded, 0, 2), b"\xff\xd8")
    return tf.cond(is_jpeg, jpeg, other)


def _decode_jpeg_in_graph(encoded: "tf.Tensor", channels: int) -> "tf.Tensor":
    import tensorflow as tf

    return tf.image.decode_jpeg(encoded, channels=channels, dct_method="INTEGER_ACCURATE")


def _orientation_in_graph(encoded: "tf.Tensor") -> "tf.Tensor":
    """The twin of `_orientation`; int32."""
    import tensorflow as tf

    head = _bytes_in_graph(encoded, max(_EXIF_PLACES) + len(_EXIF_MARK))
    orientation = tf.constant(_UPRIGHT)
    for place in reversed(_EXIF_PLACES):
        has_exif = tf.reduce_all(tf.equal(head[place : place + len(_EXIF_MARK)], list(_EXIF_MARK)))
        read = functools.partial(_orientation_of_directory, encoded, place + len(_EXIF_MARK))
        orientation = tf.cond(has_exif, read, functools.partial(tf.identity, orientation))
    return orientation


def _orientation_of_directory(encoded: "tf.Tensor", first: int) -> "tf.Tensor":
    import tensorflow as tf

    directory = _bytes_in_graph(tf.strings.substr(encoded, first, _DIRECTORY_SEARCHED), _DIRECTORY_SEARCHED)
    orientation = tf.constant(_UPRIGHT)
    for order, tag in _ORIENTATION_TAGS.items():
        places = _DIRECTORY_SEARCHED - len(tag)
        same = [tf.equal(directory[i : places + i], byte) for i, byte in enumerate(tag)]
        found = tf.reduce_all(tf.stack(same), axis=0)
        value = directory[tf.argmax(found, output_type=tf.int32) + len(tag)]
        is_orientation = (value >= _UPRIGHT) & (value <= max(_TRANSPOSED)) & tf.reduce_any(found)
        in_this_order = tf.reduce_all(tf.equal(directory[: len(order)], list(order)))
        orientation = tf.where(is_orientation & in_this_order, value, orientation)
    return orientation


def _bytes_in_graph(text: "tf.Tensor", count: int) -> "tf.Tensor":
    """The first bytes of a string, int32 (count,), with zeros behind its end."""
    import tensorflow as tf

    return tf.cast(
        tf.io.decode_raw(tf.strings.substr(text, 0, count), tf.uint8, fixed_length=count), tf.int32
    )


def _turned_in_graph(image: "tf.Tensor", orientation: "tf.Tensor") -> "tf.Tensor":
    """The twin of `_turned`, of (height, width, 1)."""
    import tensorflow as tf

    for orientations, change in (
        (_TRANSPOSED, lambda image: tf.transpose(image, (1, 0, 2))),
        (_ROWS_REVERSED, lambda image: tf.reverse(image, (0,))),
        (_COLUMNS_REVERSED, lambda image: tf.reverse(image, (1,))),
    ):
        is_one = tf.reduce_any(tf.equal(orientation, orientations))
        image = tf.cond(is_one, functools.partial(change, image), functools.partial(tf.identity, image))
    return image


def _claimed_pixels(encoded: "tf.Tensor") -> "tf.Tensor":
    """Height times width (int64) as the header of a PNG, GIF or BMP claims; 0 for anything else."""
    import tensorflow as tf

    header = tf.cast(_bytes_in_graph(encoded, 26), tf.int64)

    def number(first: int, size: int, *, big_endian: bool = False) -> tf.Tensor:
        places = range(size)
        return tf.add_n([header[first + i] * (1 << 8 * (size - 1 - i if big_endian else i)) for i in places])

    def starts_with(magic: bytes) -> tf.Tensor:
        return tf.equal(tf.strings.substr(encoded, 0, len(magic)), magic)

    return tf.case(
        [
            (
                starts_with(b"\x89PNG"),
                lambda: number(16, 4, big_endian=True) * number(20, 4, big_endian=True),
            ),
            (starts_with(b"GIF8"), lambda: number(6, 2) * number(8, 2)),
            (starts_with(b"BM"), lambda: number(18, 4) * _magnitude(number(22, 4))),
        ],
        default=lambda: tf.constant(0, tf.int64),
    )


def _is_indexed_bmp(encoded: "tf.Tensor") -> "tf.Tensor":
    """Whether a file is a BMP of 8 bits a pixel: TensorFlow takes its indices for grey levels."""
    import tensorflow as tf

    header = _bytes_in_graph(encoded, 30)
    return tf.logical_and(tf.equal(tf.strings.substr(encoded, 0, 2), b"BM"), tf.equal(header[28], 8))


def _coloured(bmp: "tf.Tensor", indices: "tf.Tensor") -> "tf.Tensor":
    """Indices (height, width, 3), all three alike, as the RGB of the BMP's palette."""
    import tensorflow as tf

    header_bytes = tf.io.decode_raw(tf.strings.substr(bmp, 14, 4), tf.int32, fixed_length=4)[0]
    palette = tf.strings.substr(bmp, 14 + header_bytes, 1024)  # of blue, green, red, unused
    colours = tf.reshape(tf.io.decode_raw(palette, tf.uint8, fixed_length=1024), (256, 4))
    return tf.gather(colours[:, 2::-1], tf.cast(indices[..., 0], tf.int32))


def _magnitude(unsigned: "tf.Tensor") -> "tf.Tensor":
    """The absolute value of a 32-bit two's complement number: BMPs stored top-down have a negative height."""
    import tensorflow as tf

    return tf.where(unsigned < 1 << 31, unsigned, (1 << 32) - unsigned)


def _check_pixels_in_graph(pixels: "tf.Tensor") -> "tf.Operation":
    import tensorflow as tf

    return tf.debugging.assert_less_equal(
        pixels, tf.constant(MAX_PIXELS, tf.int64), message="image larger than the limit in pixels"
    )


def _luma_in_graph(rgb: "tf.Tensor") -> "tf.Tensor":
    """uint8 (height, width, 3) to uint8 (height, width, 1), to the bit what cv2.cvtColor computes."""
    import tensorflow as tf

    red, green, blue = tf.split(tf.cast(rgb, tf.int32), 3, axis=-1)
    weighted = red * _LUMA_RED + green * _LUMA_GREEN + blue * _LUMA_BLUE
    return tf.cast((weighted + (1 << (_LUMA_SHIFT - 1))) // (1 << _LUMA_SHIFT), tf.uint8)
