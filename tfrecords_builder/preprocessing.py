"""The one definition of what happens to an X-ray between its file and the model.

There are two implementations: with OpenCV, which the builder runs once per image, and with TensorFlow
operations, which the exported graph runs on every request. A test requires that they differ by at most one
gray level. Both decode (see `decoding`), crop the border, and resize by area.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from tfrecords_builder.area_resize import resize_by_area
from tfrecords_builder.decoding import SixteenBits, decode, decode_in_graph, decode_reduced

if TYPE_CHECKING:
    import tensorflow as tf

IMAGE_SIZES = (16, 2048)
"""Smallest and largest side of the images that a model may see, in pixels."""
JpegDecoding = Literal["scaled", "full"]
LEAST_PIXELS = 3
"""A JPEG that is decoded at a fraction of its size keeps at least so many pixels, on each axis, for each
pixel that the model sees."""
_NEAREST = 0.5
"""Added to a positive number before it is cut off to a whole one, it gives the nearest."""
_OLD_RULES = {"sixteen_bits": "high_byte", "jpeg_decoding": "full"}
"""What versions of the builder did that had no choice. dataset.json does not mention it."""


class Preprocessed(NamedTuple):
    """What becomes of an image file."""

    pixels: NDArray[np.uint8]
    """What the model sees, (image_size, image_size), 0 to 255."""
    height: int
    """Height of the whole image, in pixels."""
    width: int
    """Width of the whole image, in pixels."""


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Turns an image file into the pixels that a model sees.

    Raises:
        ValueError: if a setting is out of range.
    """

    image_size: int = 96
    """Side of the square image that the model sees, 16 to 2048 pixels."""
    border: float = 0.08
    """What is cropped from each of the four sides, from 0 to below 0.5: a fraction of the height at top and
    bottom, and the same fraction of the width at left and right."""
    sixteen_bits: SixteenBits = "range"
    """How images with 16 bits per sample become 8 bits. range: the darkest pixel of the image becomes black,
    the brightest white. high_byte: the lower 8 bits are dropped, as older versions of the builder did."""
    jpeg_decoding: JpegDecoding = "scaled"
    """How JPEGs are decoded. scaled: at 1/2, 1/4 or 1/8 of their size where that leaves at least 3 pixels, on
    each axis, for each pixel that the model sees; it is faster. full: whole, as older versions of the builder
    did."""

    def __post_init__(self) -> None:
        smallest, largest = IMAGE_SIZES
        if not smallest <= self.image_size <= largest:
            raise ValueError(
                f"image_size must be {smallest} to {largest} pixels. Received: {self.image_size}"
            )
        if not 0 <= 2 * self.border < 1:
            raise ValueError(f"border must be at least 0 and below 0.5. Received: {self.border}")
        if self.sixteen_bits not in get_args(SixteenBits):
            raise ValueError(
                f"sixteen_bits must be {' or '.join(get_args(SixteenBits))}. Received: {self.sixteen_bits}"
            )
        if self.jpeg_decoding not in get_args(JpegDecoding):
            raise ValueError(
                f"jpeg_decoding must be {' or '.join(get_args(JpegDecoding))}. Received: {self.jpeg_decoding}"
            )

    @property
    def region(self) -> tuple[float, float, float, float]:
        """Top, left, bottom and right of what the model sees, as shares of the image's height and width."""
        return self.border, self.border, 1 - self.border, 1 - self.border

    @property
    def smallest_side(self) -> int | None:
        """What must be left of each side of a JPEG that is decoded at a fraction of its size, in pixels.

        None if JPEGs are decoded whole. It is computed here once, so that rounding cannot differ.
        """
        if self.jpeg_decoding == "full":
            return None
        return math.ceil(LEAST_PIXELS * self.image_size / (1 - 2 * self.border))

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "Preprocessing":
        """Reads what `to_fields` returned, or what dataset.json held before there was a choice."""
        return cls(**_OLD_RULES | dict(fields))

    def to_fields(self) -> dict[str, Any]:
        """The fields as dataset.json holds them; records of the old rules keep the same dataset.json."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if _OLD_RULES.get(name) != value}

    def apply(self, encoded: bytes) -> NDArray[np.uint8]:
        """Decodes, crops and resizes one image with OpenCV.

        Args and errors are those of `apply_and_measure`.

        Returns:
            uint8 array (image_size, image_size), 0 to 255.
        """
        return self.apply_and_measure(encoded).pixels

    def apply_and_measure(self, encoded: bytes) -> Preprocessed:
        """Decodes, crops and resizes one image with OpenCV, and says how large the whole image is.

        Args:
            encoded: a JPEG, PNG, BMP, GIF or DICOM file.

        Returns:
            The pixels and the size.

        Raises:
            UnreadableImage: if the file is damaged, has another format, or has more than MAX_PIXELS.
            UserError: if it is DICOM and pydicom (extra `dicom`) is not installed.
        """
        decoded = decode_reduced(encoded, self.sixteen_bits, self.smallest_side)
        return Preprocessed(
            self.crop_and_resize(decoded.pixels, is_reduced=decoded.is_reduced), decoded.height, decoded.width
        )

    def decode(self, encoded: bytes) -> NDArray[np.uint8]:
        """Decodes one image with OpenCV, whole, and neither crops nor resizes it.

        Args:
            encoded: a JPEG, PNG, BMP, GIF or DICOM file.

        Returns:
            uint8 array (height, width), 0 to 255.

        Raises:
            UnreadableImage: if the file is damaged, has another format, or has more than MAX_PIXELS.
            UserError: if it is DICOM and pydicom (extra `dicom`) is not installed.
        """
        return decode(encoded, self.sixteen_bits)

    def crop_and_resize(self, image: NDArray[np.uint8], *, is_reduced: bool = False) -> NDArray[np.uint8]:
        """Crops the border of a gray image and resizes it by area.

        Args:
            image: uint8 array (height, width).
            is_reduced: whether it was decoded at a fraction of its size. The border then ends at the nearest
                pixel: rounded down, as it is in whole images, it would be off by up to 7 of their pixels.

        Returns:
            uint8 array (image_size, image_size).
        """
        import cv2

        height, width = image.shape
        rounding = _NEAREST if is_reduced else 0.0
        top, left = int(height * self.border + rounding), int(width * self.border + rounding)
        cropped = image[top : height - top, left : width - left]
        size = self.image_size
        if min(cropped.shape) >= size:
            return cv2.resize(cropped, (size, size), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
        # OpenCV averages areas only if both axes shrink, so the axes are resized one after the other.
        wide = cv2.resize(cropped.astype(np.float32), (size, cropped.shape[0]), interpolation=cv2.INTER_AREA)
        square = cv2.resize(wide, (size, size), interpolation=cv2.INTER_AREA)
        return np.rint(square).astype(np.uint8)

    def apply_in_graph(self, encoded: "tf.Tensor") -> "tf.Tensor":
        """Decodes, crops and resizes one image with TensorFlow operations.

        Args:
            encoded: scalar string tensor, a JPEG, PNG, BMP or GIF file.

        Returns:
            uint8 tensor (image_size, image_size, 1), 0 to 255.

        Raises:
            tf.errors.InvalidArgumentError: if it runs on a file that `apply` refuses, or on DICOM.
        """
        import tensorflow as tf

        image, is_reduced = decode_in_graph(encoded, self.sixteen_bits, self.smallest_side)
        shape = tf.shape(image)
        # In float64, as Python computes in `crop_and_resize`: in float32, 0.08 * 1000 is not below 80.
        rounding = tf.where(is_reduced, tf.constant(_NEAREST, tf.float64), 0.0)
        margin = tf.cast(tf.cast(shape[:2], tf.float64) * self.border + rounding, tf.int32)
        cropped = image[margin[0] : shape[0] - margin[0], margin[1] : shape[1] - margin[1]]
        resized = resize_by_area(cropped[..., 0], self.image_size)
        rounded = tf.cast(tf.round(resized), tf.uint8)[..., None]
        return tf.ensure_shape(rounded, (self.image_size, self.image_size, 1))
