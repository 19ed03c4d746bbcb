"""The one definition of what happens to an X-ray between its file and the model.

Two implementations stand side by side: OpenCV, which the builder runs once per image, and TensorFlow
operations, which the exported graph runs on every request. A test holds them to each other within one
grey level. Both read JPEG, PNG, BMP and GIF (first frame), crop the border, and resize by area. DICOM is
read by the builder alone: no TensorFlow operation reads it.
"""

import dataclasses
import io
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    import tensorflow as tf

MAX_PIXELS = 1 << 26  # 67 megapixels: three times the largest X-ray of the public datasets
IMAGE_SIZES = (16, 2048)  # smallest and largest side that a model may see, in pixels
FORMATS = ("JPEG", "PNG", "BMP", "GIF")

# ITU-R BT.601 luma in 15-bit fixed point, the integers that OpenCV's cvtColor uses.
_LUMA_RED, _LUMA_GREEN, _LUMA_BLUE = 9798, 19235, 3735
_LUMA_SHIFT = 15


class UnreadableImage(ValueError):
    """The bytes are no image that this project reads; the message says why."""


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What turns an encoded X-ray into the pixels a model sees.

    Raises:
        ValueError: for a size or a border that leaves no image.
    """

    image_size: int = 64
    """Side of the square image that the model sees, in pixels."""
    border: float = 0.08
    """Fraction of the height (width) that is cropped from the top and bottom (left and right)."""

    def __post_init__(self) -> None:
        smallest, largest = IMAGE_SIZES
        if not smallest <= self.image_size <= largest:
            raise ValueError(
                f"image_size must be {smallest} to {largest} pixels. Received: {self.image_size}"
            )
        if not 0 <= 2 * self.border < 1:
            raise ValueError(f"border must be at least 0 and below 0.5. Received: {self.border}")

    def apply(self, encoded: bytes) -> NDArray[np.uint8]:
        """Decodes, crops and resizes one image with OpenCV.

        Args:
            encoded: a JPEG, PNG, BMP, GIF or DICOM file.

        Returns:
            uint8 array (image_size, image_size), 0 to 255.

        Raises:
            UnreadableImage: if the bytes are damaged, no such image, or more than MAX_PIXELS.
            UserError: for DICOM without the extra that reads it.
        """
        return self.crop_and_resize(decode(encoded))

    def crop_and_resize(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crops the border of a uint8 image (height, width) and resizes it by area."""
        height, width = image.shape
        top, left = int(height * self.border), int(width * self.border)
        cropped = image[top : height - top, left : width - left]
        size = self.image_size
        if min(cropped.shape) >= size:
            return cv2.resize(cropped, (size, size), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
        # OpenCV averages areas only where both axes shrink; one axis at a time, each does what it should.
        wide = cv2.resize(cropped.astype(np.float32), (size, cropped.shape[0]), interpolation=cv2.INTER_AREA)
        square = cv2.resize(wide, (size, size), interpolation=cv2.INTER_AREA)
        return np.rint(square).astype(np.uint8)

    def apply_in_graph(self, encoded: "tf.Tensor") -> "tf.Tensor":
        """Decodes, crops and resizes one image with TensorFlow operations alone.

        Args:
            encoded: scalar string tensor, a JPEG, PNG, BMP or GIF file.

        Returns:
            uint8 tensor (image_size, image_size, 1), 0 to 255.

        Raises:
            tf.errors.InvalidArgumentError: when run on what `apply` refuses, and on DICOM.
        """
        import tensorflow as tf  # here: whoever only builds or calls a server need not load it

        image = decode_in_graph(encoded)
        shape = tf.shape(image)
        # float64, as Python computes: in float32, 0.08 * 1000 is not below 80.
        margin = tf.cast(tf.cast(shape[:2], tf.float64) * self.border, tf.int32)
        cropped = image[margin[0] : shape[0] - margin[0], margin[1] : shape[1] - margin[1]]
        size = (self.image_size, self.image_size)
        resized = tf.image.resize(cropped, size, method="area")
        return tf.ensure_shape(tf.cast(tf.round(resized), tf.uint8), (*size, 1))


def decode(encoded: bytes) -> NDArray[np.uint8]:
    """Decodes an image file to gray with OpenCV, or DICOM with pydicom.

    The gray of a JPEG is its stored luma; of other colour images, ITU-R BT.601 luma. Transparency and the
    orientation in EXIF are ignored, 16-bit samples are cut to their high byte. JPEGs of CMYK are refused,
    as in the graph. The graph reads no DICOM.

    Returns:
        uint8 array (height, width), 0 to 255.

    Raises:
        UnreadableImage: if the bytes are damaged, no such image, or more than MAX_PIXELS.
        UserError: for DICOM without the extra that reads it.
    """
    from tfrecords_builder import dicom  # here: it imports this module

    if dicom.is_dicom(encoded):
        return dicom.decode(encoded)
    file_format = _check_header(encoded)
    as_gray = file_format == "JPEG"
    flags = cv2.IMREAD_GRAYSCALE if as_gray else cv2.IMREAD_COLOR
    buffer = np.frombuffer(encoded, np.uint8)
    try:
        image = cv2.imdecode(buffer, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise UnreadableImage(f"OpenCV cannot decode this {file_format}: {error.err}") from None
    if image is None:
        raise UnreadableImage(f"damaged {file_format}: OpenCV cannot decode it")
    return image if as_gray else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)  # type: ignore[return-value]


def _check_header(encoded: bytes) -> str:
    """Reads the header alone, so that a file that claims 60000x60000 allocates nothing."""
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as header:
            (width, height), file_format, mode = header.size, header.format, header.mode
    except Image.DecompressionBombError:  # Pillow has a limit of its own, above ours
        raise UnreadableImage(f"more pixels than the limit of {MAX_PIXELS}") from None
    except (OSError, ValueError, SyntaxError):
        raise UnreadableImage(
            f"no {', '.join(FORMATS)} image: {len(encoded)} bytes that start with {encoded[:8]!r}"
        ) from None
    if width * height > MAX_PIXELS:
        raise UnreadableImage(f"{width}x{height} pixels are more than the limit of {MAX_PIXELS}")
    if mode == "CMYK":  # also YCCK; whether its inks are stored inverted, decoders disagree
        raise UnreadableImage(f"{file_format} in CMYK: store it as gray or RGB")
    return str(file_format)


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
            return tf.image.decode_jpeg(encoded, channels=1, dct_method="INTEGER_ACCURATE")

    def other() -> tf.Tensor:
        with tf.control_dependencies([_check_pixels_in_graph(_claimed_pixels(encoded))]):
            image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        image = tf.ensure_shape(image, (None, None, 3))
        return _luma_in_graph(
            tf.cond(_is_indexed_bmp(encoded), lambda: _coloured(encoded, image), lambda: image)
        )

    is_jpeg = tf.equal(tf.strings.substr(encoded, 0, 2), b"\xff\xd8")
    return tf.cond(is_jpeg, jpeg, other)


def _claimed_pixels(encoded: "tf.Tensor") -> "tf.Tensor":
    """Height times width (int64) as the header of a PNG, GIF or BMP claims; 0 for anything else."""
    import tensorflow as tf

    header = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, 0, 26), tf.uint8, fixed_length=26), tf.int64)

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

    header = tf.io.decode_raw(tf.strings.substr(encoded, 0, 30), tf.uint8, fixed_length=30)
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
