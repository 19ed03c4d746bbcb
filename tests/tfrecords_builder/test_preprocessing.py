import functools
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageChops, ImageOps

from tfrecords_builder import Preprocessing
from tfrecords_builder.decoding import MAX_PIXELS, UnreadableImage, decode, decode_in_graph


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


def sixteen_bits(height: int, width: int, channels: int) -> bytes:
    """A PNG whose low bytes are not its high bytes over again."""
    high = np.resize(scene(height, width), (height, width, channels)).astype(np.uint16)
    low = np.random.default_rng(0).integers(0, 256, high.shape, np.uint16)
    return cv2.imencode(".png", high * 256 + low)[1].tobytes()


def turned(orientation: int = 6, *, little_endian: bool = False) -> Image.Exif:
    """EXIF that asks a viewer to turn the image, by 90 degrees unless told otherwise."""
    exif = Image.Exif()
    exif.endian = "<" if little_endian else ">"
    exif[0x010F] = "a camera's maker"
    exif[0x0112] = orientation
    return exif


def without_adobe(cmyk_jpeg: bytes) -> bytes:
    """The same JPEG without the segment that says who wrote it: its inks then count as not inverted."""
    segment = cmyk_jpeg.index(b"\xff\xee")
    length = struct.unpack(">H", cmyk_jpeg[segment + 2 : segment + 4])[0]
    return cmyk_jpeg[:segment] + cmyk_jpeg[segment + 2 + length :]


@functools.cache
def kinds(height: int, width: int) -> dict[str, bytes]:
    colour = Image.fromarray(scene(height, width))
    gray = colour.convert("L")
    palette = colour.convert("P", palette=Image.Palette.ADAPTIVE)
    transparent = colour.convert("RGBA")
    transparent.putalpha(gray)
    sixteen = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    return {
        "gray jpeg": as_file(gray, "JPEG", quality=90),
        "colour jpeg": as_file(colour, "JPEG", quality=90),
        "progressive jpeg": as_file(gray, "JPEG", quality=90, progressive=True),
        "progressive colour jpeg": as_file(colour, "JPEG", quality=90, progressive=True),
        "jpeg with whole chroma": as_file(colour, "JPEG", quality=90, subsampling="4:4:4"),
        "jpeg stored as rgb": as_file(colour, "JPEG", quality=90, keep_rgb=True),
        "turned jpeg": as_file(gray, "JPEG", quality=90, exif=turned()),
        "turned colour jpeg": as_file(colour, "JPEG", exif=turned(8, little_endian=True)),
        "cmyk jpeg": as_file(colour.convert("CMYK"), "JPEG", quality=90),
        "cmyk jpeg of another maker": without_adobe(as_file(colour.convert("CMYK"), "JPEG")),
        "turned cmyk jpeg": as_file(colour.convert("CMYK"), "JPEG", exif=turned(3)),
        "turned png": as_file(gray, "PNG", exif=turned()),
        "gray png": as_file(gray, "PNG"),
        "colour png": as_file(colour, "PNG"),
        "palette png": as_file(colour.convert("P"), "PNG"),
        "16-bit png": as_file(sixteen, "PNG"),
        "png with alpha": as_file(transparent, "PNG"),
        "gray png with alpha": as_file(transparent.convert("LA"), "PNG"),
        "16-bit colour png": sixteen_bits(height, width, 3),
        "16-bit png with alpha": sixteen_bits(height, width, 4),
        "1-bit png": as_file(gray.convert("1"), "PNG"),
        "4-bit palette png": as_file(colour.convert("P", palette=1, colors=16), "PNG", bits=4),
        "palette png with a transparent colour": as_file(palette, "PNG", transparency=5),
        "gray png with a transparent level": as_file(gray, "PNG", transparency=90),
        "bmp": as_file(colour, "BMP"),
        "gray bmp": as_file(gray, "BMP"),
        "palette bmp": as_file(palette, "BMP"),
        "bmp with alpha": as_file(transparent, "BMP"),
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
    "cut cmyk jpeg": as_file(Image.fromarray(scene(90, 90)).convert("CMYK"), "JPEG")[:1500],
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


def test_gray_is_what_pillow_makes_of_every_kind():
    for kind, encoded in kinds(50, 67).items():
        # Pillow reads some of 16 bits clipped, and takes the inks of every CMYK for inverted.
        if "16-bit" in kind or "another maker" in kind:
            continue
        with Image.open(io.BytesIO(encoded)) as opened:
            upright = ImageOps.exif_transpose(opened) if "jpeg" in kind else opened
            pillow = np.asarray(upright.convert("RGB").convert("L")).astype(int)
        difference = np.abs(decode(encoded).astype(int) - pillow)
        # The luma that a JPEG stores is that of its colours before they are clipped to 0..255.
        assert difference.mean() < 1 if "jpeg" in kind else difference.max() <= 1, kind


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("little_endian", [False, True])
@pytest.mark.parametrize("dpi", [None, (72, 72)])  # with it, JFIF's segment comes before EXIF's
def test_jpegs_are_turned_as_exif_says(orientation, little_endian, dpi):
    gray = Image.fromarray(scene(30, 50)).convert("L")
    options = {"quality": 95, "exif": turned(orientation, little_endian=little_endian)}
    encoded = as_file(gray, "JPEG", **options | ({"dpi": dpi} if dpi else {}))
    with Image.open(io.BytesIO(encoded)) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))

    np.testing.assert_array_equal(decode(encoded), expected)
    np.testing.assert_array_equal(decode_in_graph(tf.constant(encoded))[..., 0], expected)


def test_the_inks_of_cmyk_by_hand():
    """Two thirds of all light is taken away by black, and of what is left a third by each colour."""
    inks = Image.new("CMYK", (32, 32), (85, 85, 85, 170))
    expected = round(85 * 170 / 255)

    for encoded in (as_file(inks, "JPEG", quality=100), without_adobe_and_inverted(inks)):
        assert np.abs(decode(encoded).astype(int) - expected).max() <= 1
        assert np.abs(decode_in_graph(tf.constant(encoded)).numpy().astype(int) - expected).max() <= 1


def without_adobe_and_inverted(inks: Image.Image) -> bytes:
    """Pillow always stores inks inverted, so they are inverted twice."""
    return without_adobe(as_file(ImageChops.invert(inks), "JPEG", quality=100))


def test_16_bits_are_cut_to_the_high_byte():
    sixteen = np.array([[0, 255, 256, 511, 32768, 65535]], np.uint16)
    encoded = cv2.imencode(".png", sixteen)[1].tobytes()

    np.testing.assert_array_equal(decode(encoded), [[0, 0, 1, 1, 128, 255]])


@pytest.mark.parametrize(
    "wrong", [{"image_size": 4}, {"image_size": 10000}, {"border": 0.5}, {"border": -0.1}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        Preprocessing(**wrong)
