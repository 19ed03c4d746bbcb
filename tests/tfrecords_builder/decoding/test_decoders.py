"""Both decoders, with OpenCV and in the TensorFlow graph, against each other and against Pillow."""

import io

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageChops, ImageOps

from tests.tfrecords_builder.image_files import (
    as_file,
    image_files,
    jpeg_claiming,
    png_claiming,
    rotating_exif,
    scene,
    without_adobe,
)
from tfrecords_builder.decoding import MAX_PIXELS, UnreadableImage, decode, decode_in_graph

BAD = {
    "empty": b"",
    "text": b"no image at all, however long it may be, it stays text",
    "magic only": b"\x89PNG\r\n\x1a\n",
    "huge png": png_claiming(60000, 60000),
    "huge jpeg": jpeg_claiming(60000, 60000),
    "cut png": as_file(Image.fromarray(scene(90, 90)), "PNG")[:900],
    "cut jpeg header": as_file(Image.fromarray(scene(90, 90)), "JPEG")[:150],
    "cut jpeg": as_file(Image.fromarray(scene(90, 90)), "JPEG")[:1500],
    "cut cmyk jpeg": as_file(Image.fromarray(scene(90, 90)).convert("CMYK"), "JPEG")[:1500],
}


@pytest.mark.parametrize("kind", BAD)
def test_both_refuse_files_that_are_not_a_whole_image(kind):
    with pytest.raises(UnreadableImage):
        decode(BAD[kind])
    with pytest.raises((tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError)):
        decode_in_graph(tf.constant(BAD[kind]))


def test_both_refuse_a_file_that_claims_more_pixels_than_the_limit():
    assert MAX_PIXELS < 60000 * 60000
    for kind in ("huge png", "huge jpeg"):
        with pytest.raises(UnreadableImage, match="limit"):
            decode(BAD[kind])
        with pytest.raises(tf.errors.InvalidArgumentError, match="limit"):
            decode_in_graph(tf.constant(BAD[kind]))


def test_gray_is_the_same_as_pillows():
    for kind, encoded in image_files(50, 67).items():
        # Pillow clips some files of 16 bits, and inverts the inks of every CMYK.
        if "16-bit" in kind or "without adobe" in kind:
            continue
        with Image.open(io.BytesIO(encoded)) as opened:
            upright = ImageOps.exif_transpose(opened) if "jpeg" in kind else opened
            pillow = np.asarray(upright.convert("RGB").convert("L")).astype(int)
        difference = np.abs(decode(encoded).astype(int) - pillow)
        # A JPEG stores the luma of its colours before they are clipped to 0..255.
        assert difference.mean() < 1 if "jpeg" in kind else difference.max() <= 1, kind


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("little_endian", [False, True])
@pytest.mark.parametrize("dpi", [None, (72, 72)])  # with it, JFIF's segment comes before EXIF's
def test_jpegs_are_rotated_as_exif_says(orientation, little_endian, dpi):
    gray = Image.fromarray(scene(30, 50)).convert("L")
    options = {"quality": 95, "exif": rotating_exif(orientation, little_endian=little_endian)}
    encoded = as_file(gray, "JPEG", **options | ({"dpi": dpi} if dpi else {}))
    with Image.open(io.BytesIO(encoded)) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))

    np.testing.assert_array_equal(decode(encoded), expected)
    np.testing.assert_array_equal(decode_in_graph(tf.constant(encoded))[..., 0], expected)


def test_the_inks_of_cmyk_computed_by_hand():
    """Black absorbs two thirds of the light, and each colour a third of the rest."""
    inks = Image.new("CMYK", (32, 32), (85, 85, 85, 170))
    expected = round(85 * 170 / 255)

    for encoded in (as_file(inks, "JPEG", quality=100), without_adobe_and_inverted(inks)):
        assert np.abs(decode(encoded).astype(int) - expected).max() <= 1
        assert np.abs(decode_in_graph(tf.constant(encoded)).numpy().astype(int) - expected).max() <= 1


def without_adobe_and_inverted(inks: Image.Image) -> bytes:
    """A CMYK JPEG that stores inks as they are: Pillow inverts them, so they are inverted before."""
    return without_adobe(as_file(ImageChops.invert(inks), "JPEG", quality=100))


def test_the_range_of_samples_of_16_bits_is_spread_over_0_to_255():
    twelve_bits = np.array([[0, 100, 1000], [2000, 3000, 4095]], np.uint16)
    encoded = cv2.imencode(".png", twelve_bits)[1].tobytes()

    expected = [[0, 6, 62], [125, 187, 255]]  # 255 * value / 4095, rounded
    np.testing.assert_array_equal(decode(encoded), expected)
    np.testing.assert_array_equal(decode_in_graph(tf.constant(encoded))[..., 0], expected)


def test_records_of_before_cut_samples_of_16_bits_to_the_high_byte():
    sixteen = np.array([[0, 255, 256, 511, 32768, 65535]], np.uint16)
    encoded = cv2.imencode(".png", sixteen)[1].tobytes()

    expected = [[0, 0, 1, 1, 128, 255]]
    np.testing.assert_array_equal(decode(encoded, "high_byte"), expected)
    np.testing.assert_array_equal(decode_in_graph(tf.constant(encoded), "high_byte")[..., 0], expected)
