import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfrecords_builder import Preprocessing
from tfrecords_builder.preprocessing import MAX_PIXELS, UnreadableImage, decode, decode_in_graph


def scene(height: int, width: int) -> np.ndarray:
    """Smooth colours with some texture, uint8 (height, width, 3)."""
    generator = np.random.default_rng(height * width)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / (9 + c) + c) + np.cos(y / (7 + c)) for c in range(3)], -1)
    return np.clip(60 * waves + 128 + generator.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)


def as_file(image: Image.Image, file_format: str, **options) -> bytes:
    data = io.BytesIO()
    image.save(data, file_format, **options)
    return data.getvalue()


def kinds(height: int, width: int) -> dict[str, bytes]:
    colour = Image.fromarray(scene(height, width))
    gray = colour.convert("L")
    transparent = colour.convert("RGBA")
    transparent.putalpha(gray)
    sixteen = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    return {
        "gray jpeg": as_file(gray, "JPEG", quality=90),
        "colour jpeg": as_file(colour, "JPEG", quality=90),
        "progressive jpeg": as_file(gray, "JPEG", quality=90, progressive=True),
        "gray png": as_file(gray, "PNG"),
        "colour png": as_file(colour, "PNG"),
        "palette png": as_file(colour.convert("P"), "PNG"),
        "16-bit png": as_file(sixteen, "PNG"),
        "png with alpha": as_file(transparent, "PNG"),
        "gray png with alpha": as_file(transparent.convert("LA"), "PNG"),
        "bmp": as_file(colour, "BMP"),
        "gif": as_file(colour, "GIF"),
    }


SIZES = [(200, 260), (64, 64), (40, 300), (300, 40), (33, 21)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("border", [0.0, 0.08, 0.3])
@pytest.mark.parametrize("in_graph", [False, True])
def test_opencv_and_tensorflow_differ_by_one_grey_level_at_most(size, border, in_graph):
    preprocessing = Preprocessing(48, border)
    in_tensorflow = preprocessing.apply_in_graph
    if in_graph:
        in_tensorflow = tf.function(in_tensorflow, input_signature=[tf.TensorSpec([], tf.string)])

    for kind, encoded in kinds(*size).items():
        ours = preprocessing.apply(encoded).astype(int)
        theirs = in_tensorflow(tf.constant(encoded)).numpy()[..., 0].astype(int)
        assert np.abs(ours - theirs).max() <= 1, kind


def test_parity_on_real_originals(original_xrays):
    preprocessing = Preprocessing(64, 0.08)
    files = [path for path in sorted(original_xrays.rglob("*")) if path.is_file()]
    dataset = tf.data.Dataset.from_tensor_slices([path.read_bytes() for path in files])

    in_tensorflow = dataset.map(preprocessing.apply_in_graph).as_numpy_iterator()

    assert len(files) == 30
    for path, theirs in zip(files, in_tensorflow, strict=True):
        ours = preprocessing.apply(path.read_bytes()).astype(int)
        assert np.abs(ours - theirs[..., 0].astype(int)).max() <= 1, path.name


def test_cropping_and_area_averaging_by_hand():
    image = np.zeros((40, 40), np.uint8)
    image[4:36, 4:36] = np.kron(np.arange(256).reshape(16, 16), np.ones((2, 2)))

    small = Preprocessing(16, 0.1).crop_and_resize(image)

    np.testing.assert_array_equal(small, np.arange(256).reshape(16, 16))


def claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims a size, and that has no such pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 10))
        + chunk(b"IEND", b"")
    )


def jpeg_claiming(width: int, height: int) -> bytes:
    encoded = bytearray(as_file(Image.new("L", (16, 16)), "JPEG"))
    frame = encoded.index(b"\xff\xc0")
    encoded[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(encoded)


BAD = {
    "empty": b"",
    "text": b"no image at all, however long it may be, it stays text",
    "magic only": b"\x89PNG\r\n\x1a\n",
    "huge png": claiming(60000, 60000),
    "huge jpeg": jpeg_claiming(60000, 60000),
    "cut png": as_file(Image.fromarray(scene(90, 90)), "PNG")[:900],
    "cut jpeg header": as_file(Image.fromarray(scene(90, 90)), "JPEG")[:150],
    "cut jpeg": as_file(Image.fromarray(scene(90, 90)), "JPEG")[:1500],
}


@pytest.mark.parametrize("kind", BAD)
def test_both_refuse_what_is_no_whole_image(kind):
    with pytest.raises(UnreadableImage):
        decode(BAD[kind])
    with pytest.raises((tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError)):
        decode_in_graph(tf.constant(BAD[kind]))


def test_a_claim_over_the_limit_is_refused_for_that_reason():
    assert MAX_PIXELS < 60000 * 60000
    for kind in ("huge png", "huge jpeg"):
        with pytest.raises(UnreadableImage, match="limit"):
            decode(BAD[kind])
        with pytest.raises(tf.errors.InvalidArgumentError, match="limit"):
            decode_in_graph(tf.constant(BAD[kind]))


@pytest.mark.parametrize(
    "wrong", [{"image_size": 4}, {"image_size": 10000}, {"border": 0.5}, {"border": -0.1}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        Preprocessing(**wrong)
