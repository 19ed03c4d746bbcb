"""Decodes JPEG, PNG, BMP and GIF files to gray with TensorFlow operations, for the served model.

It does what `opencv.py` describes. No TensorFlow operation reads DICOM.
"""

import functools

import tensorflow as tf

from tfrecords_builder.decoding import exif
from tfrecords_builder.decoding.formats import MAX_PIXELS

# ITU-R BT.601 luma in 15-bit fixed point: the integers that cv2.cvtColor uses.
_LUMA_RED, _LUMA_GREEN, _LUMA_BLUE = 9798, 19235, 3735
_LUMA_SHIFT = 15

_CMYK_COMPONENTS = 4


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes an image file to gray.

    Args:
        encoded: scalar string tensor, a JPEG, PNG, BMP or GIF file.

    Returns:
        uint8 tensor (height, width, 1), 0 to 255.
    """
    is_jpeg = tf.equal(tf.strings.substr(encoded, 0, 2), b"\xff\xd8")
    return tf.cond(is_jpeg, lambda: _decode_jpeg(encoded), lambda: _decode_other(encoded))


def _decode_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    shape = tf.cast(tf.image.extract_jpeg_shape(encoded), tf.int64)
    with tf.control_dependencies([_check_num_pixels(shape[0] * shape[1])]):
        image = tf.cond(
            tf.equal(shape[2], _CMYK_COMPONENTS),
            lambda: _luma(_jpeg_pixels(encoded, channels=3)),
            lambda: _jpeg_pixels(encoded, channels=1),
        )
    return _upright(image, _read_orientation(encoded))


def _jpeg_pixels(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    return tf.image.decode_jpeg(encoded, channels=channels, dct_method="INTEGER_ACCURATE")


def _decode_other(encoded: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([_check_num_pixels(_claimed_num_pixels(encoded))]):
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image = tf.ensure_shape(image, (None, None, 3))
    return _luma(tf.cond(_is_indexed_bmp(encoded), lambda: _palette_colours(encoded, image), lambda: image))


def _check_num_pixels(num_pixels: tf.Tensor) -> tf.Operation:
    return tf.debugging.assert_less_equal(
        num_pixels,
        tf.constant(MAX_PIXELS, tf.int64),
        message="the image has more pixels than the limit",
    )


def _claimed_num_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """Height times width (int64) as the header of a PNG, GIF or BMP says; 0 for any other file."""
    header = tf.cast(_first_bytes(encoded, 26), tf.int64)

    def number(first: int, size: int, *, big_endian: bool = False) -> tf.Tensor:
        positions = range(size)
        return tf.add_n(
            [header[first + i] * (1 << 8 * (size - 1 - i if big_endian else i)) for i in positions]
        )

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


def _magnitude(unsigned: tf.Tensor) -> tf.Tensor:
    """The absolute value of a 32-bit two's complement number: BMPs stored top-down have a negative height."""
    return tf.where(unsigned < 1 << 31, unsigned, (1 << 32) - unsigned)


def _is_indexed_bmp(encoded: tf.Tensor) -> tf.Tensor:
    """Whether a file is a BMP with 8 bits per pixel: TensorFlow takes its palette indices for gray."""
    header = _first_bytes(encoded, 30)
    return tf.logical_and(tf.equal(tf.strings.substr(encoded, 0, 2), b"BM"), tf.equal(header[28], 8))


def _palette_colours(bmp: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """Looks up palette indices, uint8 (height, width, 3) with equal channels, as RGB of the same shape."""
    header_bytes = tf.io.decode_raw(tf.strings.substr(bmp, 14, 4), tf.int32, fixed_length=4)[0]
    palette = tf.strings.substr(bmp, 14 + header_bytes, 1024)  # per entry: blue, green, red, unused
    colours = tf.reshape(tf.io.decode_raw(palette, tf.uint8, fixed_length=1024), (256, 4))
    return tf.gather(colours[:, 2::-1], tf.cast(indices[..., 0], tf.int32))


def _luma(rgb: tf.Tensor) -> tf.Tensor:
    """Turns uint8 (height, width, 3) into uint8 (height, width, 1), equal to the bit to cv2.cvtColor."""
    red, green, blue = tf.split(tf.cast(rgb, tf.int32), 3, axis=-1)
    weighted = red * _LUMA_RED + green * _LUMA_GREEN + blue * _LUMA_BLUE
    return tf.cast((weighted + (1 << (_LUMA_SHIFT - 1))) // (1 << _LUMA_SHIFT), tf.uint8)


def _read_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Does what `exif.read_orientation` does; returns int32."""
    head = _first_bytes(encoded, max(exif.MARK_POSITIONS) + len(exif.MARK))
    orientation = tf.constant(exif.UPRIGHT)
    for position in reversed(exif.MARK_POSITIONS):
        has_mark = tf.reduce_all(tf.equal(head[position : position + len(exif.MARK)], list(exif.MARK)))
        read = functools.partial(_orientation_in_directory, encoded, position + len(exif.MARK))
        orientation = tf.cond(has_mark, read, functools.partial(tf.identity, orientation))
    return orientation


def _orientation_in_directory(encoded: tf.Tensor, first: int) -> tf.Tensor:
    size = exif.DIRECTORY_BYTES
    directory = _first_bytes(tf.strings.substr(encoded, first, size), size)
    orientation = tf.constant(exif.UPRIGHT)
    for byte_order, tag in exif.TAGS.items():
        num_positions = size - len(tag)
        matches = [tf.equal(directory[i : num_positions + i], byte) for i, byte in enumerate(tag)]
        found = tf.reduce_all(tf.stack(matches), axis=0)
        value = directory[tf.argmax(found, output_type=tf.int32) + len(tag)]
        is_valid = (value >= exif.UPRIGHT) & (value <= exif.LARGEST) & tf.reduce_any(found)
        is_this_order = tf.reduce_all(tf.equal(directory[: len(byte_order)], list(byte_order)))
        orientation = tf.where(is_valid & is_this_order, value, orientation)
    return orientation


def _upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Rotates and mirrors an image (height, width, 1) as an EXIF orientation says."""
    for orientations, operation in (
        (exif.TRANSPOSED, lambda image: tf.transpose(image, (1, 0, 2))),
        (exif.ROWS_REVERSED, lambda image: tf.reverse(image, (0,))),
        (exif.COLUMNS_REVERSED, lambda image: tf.reverse(image, (1,))),
    ):
        is_one = tf.reduce_any(tf.equal(orientation, orientations))
        image = tf.cond(is_one, functools.partial(operation, image), functools.partial(tf.identity, image))
    return image


def _first_bytes(text: tf.Tensor, count: int) -> tf.Tensor:
    """The first bytes of a string as int32 (count,), with zeros after its end."""
    return tf.cast(
        tf.io.decode_raw(tf.strings.substr(text, 0, count), tf.uint8, fixed_length=count), tf.int32
    )
