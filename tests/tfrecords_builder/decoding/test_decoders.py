"""Both decoders, with OpenCV and in the TensorFlow graph, against each other and against Pillow."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image, ImageChops, ImageOps

from tests.tfrecords_builder.decoding.both_decoders import in_both
from tests.tfrecords_builder.image_files import as_file, image_files, with_few_colors, without_adobe
from tfrecords_builder.decoding import decode, decode_in_graph


def test_both_decode_every_kind_to_the_same_pixels():
    for kind, encoded in image_files(50, 67).items():
        ours = decode(encoded)
        assert ours.shape == ((67, 50) if kind in ("rotated jpeg", "rotated color jpeg") else (50, 67)), kind
        np.testing.assert_array_equal(
            ours, decode_in_graph(tf.constant(encoded)).pixels[..., 0], err_msg=kind
        )


def test_gray_is_the_same_as_pillows():
    for kind, encoded in image_files(50, 67).items():
        # Pillow clips some files of 16 bits, and inverts the inks of every CMYK.
        if "16-bit" in kind or "without adobe" in kind:
            continue
        with Image.open(io.BytesIO(encoded)) as opened:
            upright = ImageOps.exif_transpose(opened) if "jpeg" in kind else opened
            pillow = np.asarray(upright.convert("RGB").convert("L")).astype(int)
        difference = np.abs(in_both(encoded).astype(int) - pillow)
        # A JPEG stores the luma of its colors before they are clipped to 0..255.
        assert difference.mean() < 1 if "jpeg" in kind else difference.max() <= 1, kind


def test_the_inks_of_cmyk_computed_by_hand():
    """Black absorbs two thirds of the light, and each color a third of the rest."""
    inks = Image.new("CMYK", (32, 32), (85, 85, 85, 170))
    expected = round(85 * 170 / 255)

    for encoded in (as_file(inks, "JPEG", quality=100), without_adobe_and_inverted(inks)):
        assert np.abs(decode(encoded).astype(int) - expected).max() <= 1
        assert np.abs(decode_in_graph(tf.constant(encoded)).pixels.numpy().astype(int) - expected).max() <= 1


def without_adobe_and_inverted(inks: Image.Image) -> bytes:
    """A CMYK JPEG that stores inks as they are: Pillow inverts them, so they are inverted before."""
    return without_adobe(as_file(ImageChops.invert(inks), "JPEG", quality=100))


def test_indices_after_the_end_of_a_palette_are_black():
    indices = Image.fromarray(np.array([[0, 1, 2, 200]], np.uint8))
    indices.putpalette([250, 250, 250] * 256)

    shown = in_both(with_few_colors(as_file(indices.convert("P"), "BMP"), 2))

    np.testing.assert_array_equal(shown, [[250, 250, 0, 0]])


def test_images_of_one_pixel():
    for file_format in ("JPEG", "PNG", "BMP", "GIF"):
        assert in_both(as_file(Image.new("L", (1, 1), 77), file_format)).tolist() == [[77]]
