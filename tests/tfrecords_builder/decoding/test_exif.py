"""JPEGs are rotated as their EXIF says, wherever it is, and not at all if it is damaged."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.tfrecords_builder.decoding.both_decoders import in_both
from tests.tfrecords_builder.image_files import (
    COLOR_PROFILE,
    COMMENT,
    PHOTOSHOP,
    XMP,
    as_file,
    rotating_exif,
    scene,
    with_segments,
)

HEIGHT, WIDTH = 30, 50
PLAIN = as_file(Image.fromarray(scene(HEIGHT, WIDTH)).convert("L"), "JPEG", quality=95)
UPRIGHT = np.asarray(Image.open(io.BytesIO(PLAIN)))
ROTATED = np.rot90(UPRIGHT, -1)  # what orientation 6 asks for


def segment(content: bytes, marker: int = 0xE1) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content


def field(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack(">HHIHH", tag, kind, count, value, 0)


def tiff(*fields: bytes, magic: bytes = b"MM\0*", first: int = 8, count: int | None = None) -> bytes:
    number = len(fields) if count is None else count
    return magic + struct.pack(">IH", first, number) + b"".join(fields) + bytes(4)


ORIENTATION = field(0x0112, 3, 1, 6)
CAMERA = field(0x010F, 2, 4, 0)
EXIF = segment(b"Exif\0\0" + tiff(CAMERA, ORIENTATION))


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("little_endian", [False, True])
@pytest.mark.parametrize("dpi", [None, (72, 72)])  # with it, JFIF's segment comes before EXIF's
def test_every_orientation_is_that_of_pillow(orientation, little_endian, dpi):
    options = {"quality": 95, "exif": rotating_exif(orientation, little_endian=little_endian)}
    gray = Image.fromarray(scene(HEIGHT, WIDTH)).convert("L")
    encoded = as_file(gray, "JPEG", **options | ({"dpi": dpi} if dpi else {}))
    with Image.open(io.BytesIO(encoded)) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))

    np.testing.assert_array_equal(in_both(encoded), expected)


PLACES = {
    "first": with_segments(PLAIN, EXIF),
    "behind JFIF": PLAIN[:20] + EXIF + PLAIN[20:],
    "behind Photoshop's": with_segments(PLAIN, PHOTOSHOP, EXIF),
    "behind a color profile": with_segments(PLAIN, COLOR_PROFILE, EXIF),
    "behind a comment": with_segments(PLAIN, COMMENT, EXIF),
    "behind XMP, which has the same marker": with_segments(PLAIN, XMP, EXIF),
    "behind all of them": with_segments(PLAIN, XMP, PHOTOSHOP, COLOR_PROFILE, COMMENT, COLOR_PROFILE, EXIF),
    "behind a hundred comments": with_segments(PLAIN, *[COMMENT] * 100, EXIF),
    "behind fill bytes": with_segments(PLAIN, b"\xff\xff\xff", EXIF),
    "behind bytes of no segment": with_segments(PLAIN, COMMENT, b"\x01\x02\x03\x04", EXIF),
    "behind the tables": PLAIN.replace(b"\xff\xc0", EXIF + b"\xff\xc0", 1),
    "right before the pixels": PLAIN.replace(b"\xff\xda", EXIF + b"\xff\xda", 1),
    "before another one": with_segments(PLAIN, EXIF, segment(b"Exif\0\0" + tiff(field(0x0112, 3, 1, 3)))),
    "as the last of 256 fields": with_segments(
        PLAIN, segment(b"Exif\0\0" + tiff(*[CAMERA] * 255, ORIENTATION))
    ),
    "in a directory at the end": with_segments(
        PLAIN,
        segment(b"Exif\0\0MM\0*" + struct.pack(">I", 108) + bytes(100) + struct.pack(">H", 1) + ORIENTATION),
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_it_is_found(place):
    np.testing.assert_array_equal(in_both(PLACES[place]), ROTATED)


@pytest.mark.parametrize("length", range(970, 1040))
def test_it_is_found_wherever_the_graph_divides_the_file(length):
    np.testing.assert_array_equal(in_both(with_segments(PLAIN, segment(bytes(length), 0xEC), EXIF)), ROTATED)


DAMAGED = {
    "no known order of bytes": tiff(ORIENTATION, magic=b"MI\0*"),
    "no TIFF file": tiff(ORIENTATION, magic=b"MM\0+"),
    "directory after the end of the file": tiff(ORIENTATION, first=1 << 30),
    "directory far after the end of the file": tiff(ORIENTATION, first=(1 << 32) - 1),
    "directory in the wrong place": tiff(ORIENTATION, first=9),
    "no fields": tiff(ORIENTATION, count=0),
    "a number instead of a short number": tiff(field(0x0112, 4, 1, 6)),
    "two orientations": tiff(field(0x0112, 3, 2, 6)),
    "orientation 0": tiff(field(0x0112, 3, 1, 0)),
    "orientation 9": tiff(field(0x0112, 3, 1, 9)),
    "orientation 262": tiff(field(0x0112, 3, 1, 256 + 6)),
    "another tag": tiff(field(0x0113, 3, 1, 6)),
    "nothing": b"",
    "more fields than are searched": tiff(*[CAMERA] * 256, ORIENTATION),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_what_is_damaged_rotates_nothing(damage):
    encoded = with_segments(PLAIN, segment(b"Exif\0\0" + DAMAGED[damage]))

    np.testing.assert_array_equal(in_both(encoded), UPRIGHT)


@pytest.mark.parametrize(
    "content", [b"Exif\0\0" + tiff(ORIENTATION), b"EXIF\0\0" + tiff(ORIENTATION), tiff(ORIENTATION)]
)
def test_what_only_looks_like_it_rotates_nothing(content):
    marker = 0xE2 if content.startswith(b"Exif") else 0xE1

    np.testing.assert_array_equal(in_both(with_segments(PLAIN, segment(content, marker))), UPRIGHT)
