"""Files that are damaged, cut off, or of a kind that is not read, and what is said of each."""

import functools
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

from tests.tfrecords_builder.image_files import (
    COMMENT,
    as_file,
    jpeg_claiming,
    png_claiming,
    scene,
)

SIDE = 48
END = b"\xff\xd9"


def gray_jpeg(**options) -> bytes:
    return as_file(Image.fromarray(scene(SIDE, SIDE)).convert("L"), "JPEG", **options)


def color_png() -> bytes:
    return as_file(Image.fromarray(scene(SIDE, SIDE)), "PNG")


def gif(**options) -> bytes:
    return as_file(Image.fromarray(scene(SIDE, SIDE)).convert("P"), "GIF", interlace=False, **options)


def bmp() -> bytes:
    return as_file(Image.fromarray(scene(SIDE, SIDE)), "BMP")


def changed(encoded: bytes, position: int, new: bytes) -> bytes:
    return encoded[:position] + new + encoded[position + len(new) :]


def without(encoded: bytes, first: int, last: int) -> bytes:
    return encoded[:first] + encoded[last:]


def frame_of(jpeg: bytes) -> int:
    """Position of the segment that says the size."""
    return next(jpeg.index(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in jpeg)


def scan_of(jpeg: bytes) -> int:
    return jpeg.index(b"\xff\xda")


def with_many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    jpeg = gray_jpeg(progressive=True)
    return jpeg[: -len(END)] + count * jpeg[jpeg.rindex(b"\xff\xda") : -len(END)] + END


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(png: bytes, added: bytes) -> bytes:
    """The same PNG with a chunk before its pixels."""
    position = png.index(b"IDAT") - 4
    return png[:position] + added + png[position:]


def png_header(png: bytes, **fields: int) -> bytes:
    """The same PNG with other fields in its header, and the checksum that belongs to them."""
    places = {"bits": 24, "color_type": 25, "compression": 26, "filter": 27, "interlace": 28}
    for name, value in fields.items():
        png = changed(png, places[name], bytes([value]))
    return changed(png, 29, struct.pack(">I", zlib.crc32(png[12:29])))


def image_position(encoded: bytes) -> int:
    """Position of the only image of a GIF as Pillow writes it: after its table of colors."""
    return 13 + (3 << (encoded[10] & 7) + 1)


def gif_frame(encoded: bytes, *, left: int = 0, top: int = 0, width: int = SIDE, height: int = SIDE) -> bytes:
    """The same GIF with another place or size of its first image."""
    return changed(encoded, image_position(encoded) + 1, struct.pack("<HHHH", left, top, width, height))


def animated(count: int, side: int = SIDE) -> bytes:
    """A GIF with further images of any size, of which hardly a pixel is stored."""
    further = b"," + struct.pack("<HHHH", 0, 0, side, side) + b"\0\2\2\x44\1\0"
    return gif()[:-1] + count * further + b";"


def bmp_field(encoded: bytes, position: int, value: int, size: int = 4) -> bytes:
    return changed(encoded, position, value.to_bytes(size, "little", signed=value < 0))


READ = {
    "jpeg with zeros after its end": lambda: gray_jpeg() + bytes(100),
    "jpeg with another image after it, as cameras write": lambda: gray_jpeg() + gray_jpeg(),
    "jpeg with bytes before its end": lambda: gray_jpeg()[:-2] + bytes(6) + END,
    "jpeg with fill bytes": lambda: gray_jpeg().replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1),
    "jpeg with bytes between segments": lambda: gray_jpeg().replace(b"\xff\xdb", b"\x12\x34\xff\xdb", 1),
    "jpeg whose pixels are damaged": lambda: changed(gray_jpeg(), len(gray_jpeg()) - 200, b"\x55\x55"),
    "jpeg cut off, then ended": lambda: gray_jpeg()[:-300] + END,
    "jpeg with 990 comments": lambda: gray_jpeg()[:2] + 990 * COMMENT + gray_jpeg()[2:],
    "progressive jpeg of 100 scans": lambda: with_many_scans(90),
    "png with bytes after its end": lambda: color_png() + bytes(50),
    "png with a damaged note": lambda: with_chunk(color_png(), changed(chunk(b"tEXt", b"a\0b"), 9, b"x")),
    "png with an unknown note": lambda: with_chunk(color_png(), chunk(b"noTe", bytes(40))),
    "png whose animation is damaged": lambda: with_chunk(
        color_png(), chunk(b"acTL", struct.pack(">II", 0, 0))
    ),
    "gif without its end": lambda: gif()[:-1],
    "gif with bytes after its end": lambda: gif() + bytes(50),
    "gif with bytes instead of its end": lambda: gif()[:-1] + b"\x77" * 50,
    "gif whose image is larger than its canvas": lambda: changed(gif(), 6, struct.pack("<HH", 9, 9)),
    "gif whose image is smaller than its canvas": lambda: changed(gif(), 6, struct.pack("<HH", 999, 999)),
    "gif whose image has an offset": lambda: gif_frame(gif(), left=7, top=9),
    "gif of 5000 images": lambda: animated(5000),
    "gif with further images of 65535x65535 pixels": lambda: animated(1000, side=65535),
    "gif whose further images are damaged": lambda: gif()[:-1] + b",damaged" + bytes(50),
    "bmp with bytes after its end": lambda: bmp() + bytes(50),
    "bmp with bytes before its pixels": lambda: bmp_field(bmp()[:54] + bytes(10) + bmp()[54:], 10, 64),
}

REFUSED = {
    "jpeg without its end marker": (
        lambda: gray_jpeg()[:-2],
        "JPEG without its end marker: the file is cut off",
    ),
    "jpeg cut off among its pixels": (
        lambda: gray_jpeg()[:-300],
        "JPEG without its end marker: the file is cut off",
    ),
    "jpeg cut off, and zeros after it": (
        lambda: gray_jpeg()[:-300] + bytes(400),
        "JPEG without its end marker: the file is cut off",
    ),
    "progressive jpeg cut off": (
        lambda: gray_jpeg(progressive=True)[:-300],
        "JPEG without its end marker: the file is cut off",
    ),
    "jpeg cut off in its header": (lambda: gray_jpeg()[:100], "JPEG that is cut off before its pixels"),
    "jpeg of two bytes and a marker": (lambda: b"\xff\xd8\xff", "JPEG that is cut off before its pixels"),
    "jpeg that ends at once": (lambda: b"\xff\xd8" + END, "JPEG without pixels"),
    "jpeg with a table among its pixels": (
        lambda: changed(gray_jpeg(), len(gray_jpeg()) - 200, b"\xff\xc4"),
        "damaged JPEG: its pixels cannot be decompressed",
    ),
    "jpeg with damaged tables": (
        lambda: changed(gray_jpeg(), gray_jpeg().index(b"\xff\xc4") + 5, b"\xff" * 16),
        "damaged JPEG: its pixels cannot be decompressed",
    ),
    "jpeg without loss": (
        lambda: changed(gray_jpeg(), frame_of(gray_jpeg()) + 1, b"\xc3"),
        "JPEG of the kind SOF3: expected SOF0 to SOF2 (baseline, extended or progressive, with Huffman "
        "coding); convert the image to PNG",
    ),
    "jpeg with arithmetic coding": (
        lambda: changed(gray_jpeg(), frame_of(gray_jpeg()) + 1, b"\xc9"),
        "JPEG of the kind SOF9: expected SOF0 to SOF2 (baseline, extended or progressive, with Huffman "
        "coding); convert the image to PNG",
    ),
    "jpeg of 12 bits": (
        lambda: changed(gray_jpeg(), frame_of(gray_jpeg()) + 4, b"\x0c"),
        "JPEG with 12 bits per sample: expected 8; convert the image to PNG",
    ),
    "jpeg of two components": (
        lambda: changed(gray_jpeg(), frame_of(gray_jpeg()) + 9, b"\x02"),
        "JPEG with 2 components: expected 1, 3 or 4",
    ),
    "jpeg that says its height after its pixels": (
        lambda: changed(gray_jpeg(), frame_of(gray_jpeg()) + 5, b"\0\0"),
        "JPEG of 48x0 pixels: there is nothing to see",
    ),
    "jpeg with 1000 comments": (
        lambda: gray_jpeg()[:2] + 1000 * COMMENT + gray_jpeg()[2:],
        "JPEG with more than 1000 segments before its pixels",
    ),
    "progressive jpeg of thousands of scans": (
        lambda: with_many_scans(3000),
        "JPEG with more than 100 scans",
    ),
    "huge jpeg": (
        lambda: jpeg_claiming(60000, 60000),
        "60000x60000 pixels are more than the limit of 67108864",
    ),
    "png cut off": (lambda: color_png()[:-200], "PNG that is cut off: its last chunk IEND is missing"),
    "png without its last chunk": (
        lambda: color_png()[:-12],
        "PNG that is cut off: its last chunk IEND is missing",
    ),
    "png with a changed byte": (
        lambda: changed(color_png(), len(color_png()) // 2, b"\x55\x55"),
        "damaged PNG: the checksum of its chunk IDAT is wrong",
    ),
    "png with a changed byte in its last chunk": (
        lambda: color_png()[:-1] + b"x",
        "damaged PNG: the checksum of its chunk IEND is wrong",
    ),
    "png whose pixels are damaged": (
        lambda: png_of_pixels(changed(zlib.compress(bytes(SIDE * (SIDE + 1))), 4, b"\x55")),
        "damaged PNG: its pixels cannot be decompressed",
    ),
    "png with too few pixels": (
        lambda: png_of_pixels(zlib.compress(bytes(500))),
        "damaged PNG: its pixels cannot be decompressed",
    ),
    "png with an unknown chunk": (
        lambda: with_chunk(color_png(), chunk(b"NEWS", b"")),
        "damaged PNG: it has an unknown chunk b'NEWS'",
    ),
    "png of no known kind": (
        lambda: png_header(color_png(), bits=3),
        "damaged PNG: it has 3 bits of color type 2, and methods 00 00 00",
    ),
    "png without its header": (
        lambda: without(color_png(), 8, 33),
        "damaged PNG: it does not begin with the chunk IHDR",
    ),
    "huge png": (
        lambda: png_claiming(60000, 60000),
        "60000x60000 pixels are more than the limit of 67108864",
    ),
    "long png": (lambda: png_claiming(65501, 3), "65501x3 pixels: the limit of each side is 65500"),
    "empty png": (lambda: png_claiming(0, 9), "PNG of 0x9 pixels: there is nothing to see"),
    "gif cut off before its image": (
        lambda: gif()[: image_position(gif())],
        "GIF that is cut off before its first image",
    ),
    "gif cut off in its image": (lambda: gif()[:-300], "damaged GIF: its pixels cannot be decompressed"),
    "gif with too few pixels": (
        lambda: gif_frame(gif(), width=2 * SIDE),
        "damaged GIF: its pixels cannot be decompressed",
    ),
    "gif without an image": (lambda: gif()[: image_position(gif())] + b";", "damaged GIF: it has no image"),
    "gif without colors": (
        lambda: changed(without(gif(), 13, image_position(gif())), 10, b"\0"),
        "GIF without a table of colors",
    ),
    "gif in many small parts": (
        lambda: gif()[: image_position(gif())] + 5000 * b"!\xfe\1x\0" + gif()[image_position(gif()) :],
        "damaged GIF: its pixels cannot be decompressed",
    ),
    "huge gif": (
        lambda: gif_frame(gif(), width=60000, height=60000),
        "60000x60000 pixels are more than the limit of 67108864",
    ),
    "bmp cut off": (
        lambda: bmp()[:-1],
        f"BMP that is cut off: {len(bmp()) - 1} bytes, expected {len(bmp())}",
    ),
    "bmp cut off in its header": (lambda: bmp()[:40], "BMP that is cut off: 40 bytes"),
    "bmp with an old header": (
        lambda: bmp_field(bmp(), 14, 12),
        "BMP with a header of 12 bytes: expected 40 to 124",
    ),
    "bmp of 16 bits": (
        lambda: bmp_field(bmp(), 28, 16, 2),
        "BMP with 16 bits per pixel and compression 0: expected 8, 24 or 32 without compression; "
        "convert the image to PNG",
    ),
    "compressed bmp": (
        lambda: bmp_field(bmp_field(bmp(), 30, 1), 28, 8, 2),
        "BMP with 8 bits per pixel and compression 1: expected 8, 24 or 32 without compression; "
        "convert the image to PNG",
    ),
    "bmp with other masks": (
        lambda: bmp_field(bmp_field(bmp(), 30, 3), 28, 32, 2),
        "BMP with 32 bits per pixel and compression 3: expected 8, 24 or 32 without compression; "
        "convert the image to PNG",
    ),
    "bmp whose pixels begin after its end": (
        lambda: bmp_field(bmp(), 10, (1 << 32) - 100),
        f"BMP that is cut off: {len(bmp())} bytes, expected {(1 << 32) - 100 + len(bmp()) - 54}",
    ),
    "bmp of a negative width": (
        lambda: bmp_field(bmp(), 18, -SIDE),
        "BMP of -48x48 pixels: there is nothing to see",
    ),
    "huge bmp": (
        lambda: bmp_field(bmp_field(bmp(), 18, 60000), 22, -60000),
        "60000x60000 pixels are more than the limit of 67108864",
    ),
    "empty file": (lambda: b"", "not a JPEG, PNG, BMP or GIF image: 0 bytes that start with b''"),
    "text": (
        lambda: b"a note, and no image",
        "not a JPEG, PNG, BMP or GIF image: 20 bytes that start with b'a note, '",
    ),
    "webp": (lambda: other_format(".webp"), "WebP is not read: convert the image to PNG"),
}


def png_of_pixels(compressed: bytes) -> bytes:
    """A gray PNG of some compressed bytes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", compressed) + chunk(b"IEND", b"")


@functools.cache
def other_format(suffix: str) -> bytes:
    """A file in a format that OpenCV writes and this project does not read."""
    color = scene(SIDE, SIDE)
    pixels = color.astype(np.float32) / 255 if suffix in (".hdr", ".pfm") else color
    if suffix in (".pgm", ".pbm"):
        pixels = color[..., 0]
    return cv2.imencode(suffix, pixels)[1].tobytes()
