"""Image files of every kind that the project reads, for tests."""

import functools
import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image


def scene(height: int, width: int) -> np.ndarray:
    """Draws smooth colours with some texture, uint8 (height, width, 3)."""
    generator = np.random.default_rng(height * width)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / (9 + c) + c) + np.cos(y / (7 + c)) for c in range(3)], -1)
    return np.clip(60 * waves + 128 + generator.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)


def as_file(image: Image.Image, file_format: str, **options) -> bytes:
    """Saves an image with Pillow."""
    data = io.BytesIO()
    image.save(data, file_format, **options)
    return data.getvalue()


def sixteen_bits(height: int, width: int, channels: int) -> bytes:
    """A PNG with 16 bits per sample, whose low bytes differ from its high bytes."""
    high = np.resize(scene(height, width), (height, width, channels)).astype(np.uint16)
    low = np.random.default_rng(0).integers(0, 256, high.shape, np.uint16)
    return cv2.imencode(".png", high * 256 + low)[1].tobytes()


def rotating_exif(orientation: int = 6, *, little_endian: bool = False) -> Image.Exif:
    """EXIF that asks a viewer to rotate or mirror the image; orientation 6 rotates it by 90 degrees."""
    exif = Image.Exif()
    exif.endian = "<" if little_endian else ">"
    exif[0x010F] = "a camera's maker"
    exif[0x0112] = orientation
    return exif


def without_adobe(cmyk_jpeg: bytes) -> bytes:
    """The same JPEG without Adobe's segment, so that its inks count as not inverted."""
    segment = cmyk_jpeg.index(b"\xff\xee")
    length = struct.unpack(">H", cmyk_jpeg[segment + 2 : segment + 4])[0]
    return cmyk_jpeg[:segment] + cmyk_jpeg[segment + 2 + length :]


@functools.cache
def image_files(height: int, width: int) -> dict[str, bytes]:
    """One file of every kind that both decoders read."""
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
        "rotated jpeg": as_file(gray, "JPEG", quality=90, exif=rotating_exif()),
        "rotated colour jpeg": as_file(colour, "JPEG", exif=rotating_exif(8, little_endian=True)),
        "cmyk jpeg": as_file(colour.convert("CMYK"), "JPEG", quality=90),
        "cmyk jpeg without adobe": without_adobe(as_file(colour.convert("CMYK"), "JPEG")),
        "rotated cmyk jpeg": as_file(colour.convert("CMYK"), "JPEG", exif=rotating_exif(3)),
        "rotated png": as_file(gray, "PNG", exif=rotating_exif()),
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


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header says a size, and which lacks the pixels for it."""
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
    """A JPEG whose header says a size, and which lacks the pixels for it."""
    encoded = bytearray(as_file(Image.new("L", (16, 16)), "JPEG"))
    frame = encoded.index(b"\xff\xc0")
    encoded[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(encoded)
