"""Image files of every kind that the project reads, for tests."""

import functools
import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image


def scene(height: int, width: int) -> np.ndarray:
    """Draws smooth colors with some texture, uint8 (height, width, 3)."""
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


PHOTOSHOP = b"\xff\xed" + struct.pack(">H", 2 + 3014) + b"Photoshop 3.0\0" + bytes(3000)
COLOR_PROFILE = b"\xff\xe2" + struct.pack(">H", 2 + 65000) + b"ICC_PROFILE\0\1\1" + bytes(64986)
COMMENT = b"\xff\xfe" + struct.pack(">H", 2 + 11) + b"a comment\xff\xd8"
XMP = b"\xff\xe1" + struct.pack(">H", 2 + 129) + b"http://ns.adobe.com/xap/1.0/\0" + bytes(100)


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """The same JPEG with segments before all others."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def as_opencv_jpeg(rgb: np.ndarray, **options: int) -> bytes:
    """Saves an image with OpenCV, whose options are named without `IMWRITE_JPEG_`."""
    flags = [
        part for name, value in options.items() for part in (getattr(cv2, f"IMWRITE_JPEG_{name}"), value)
    ]
    return cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), flags)[1].tobytes()


def with_odd_sampling(gray_jpeg: bytes) -> bytes:
    """The same JPEG with a sampling factor of 2 for its only component, which changes nothing."""
    frame = gray_jpeg.index(b"\xff\xc0")
    return gray_jpeg[: frame + 11] + b"\x22" + gray_jpeg[frame + 12 :]


def with_few_colors(bmp: bytes, count: int) -> bytes:
    """The same BMP of 256 colors with a palette that is as short as its header says."""
    kept = bmp[14 : 14 + 40 + 4 * count]
    header = kept[:32] + struct.pack("<I", count) + kept[36:]
    rows = bmp[struct.unpack("<I", bmp[10:14])[0] :]
    return bmp[:10] + struct.pack("<I", 14 + len(header)) + header + rows


def with_masks(bmp: bytes) -> bytes:
    """The same BMP of 32 bits with the masks that it needs not, as many programs write it."""
    masks = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
    header = bmp[14:30] + struct.pack("<I", 3) + bmp[34:54]
    return bmp[:10] + struct.pack("<I", 66) + header + masks + bmp[54:]


def from_top_to_bottom(bmp: bytes) -> bytes:
    """The same BMP with its rows in the opposite order, and a header that says so."""
    first, height, width = struct.unpack("<I", bmp[10:14])[0], *struct.unpack("<ii", bmp[18:26])[::-1]
    row_bytes = (3 * width + 3) // 4 * 4
    rows = [bmp[first + y * row_bytes : first + (y + 1) * row_bytes] for y in range(height)]
    return bmp[:22] + struct.pack("<i", -height) + bmp[26:first] + b"".join(reversed(rows))


@functools.cache
def image_files(height: int, width: int) -> dict[str, bytes]:
    """One file of every kind that both decoders read."""
    color = Image.fromarray(scene(height, width))
    gray = color.convert("L")
    palette = color.convert("P", palette=Image.Palette.ADAPTIVE)
    transparent = color.convert("RGBA")
    transparent.putalpha(gray)
    sixteen = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    return {
        "gray jpeg": as_file(gray, "JPEG", quality=90),
        "color jpeg": as_file(color, "JPEG", quality=90),
        "progressive jpeg": as_file(gray, "JPEG", quality=90, progressive=True),
        "progressive color jpeg": as_file(color, "JPEG", quality=90, progressive=True),
        "jpeg with whole chroma": as_file(color, "JPEG", quality=90, subsampling="4:4:4"),
        "jpeg with few chroma": as_opencv_jpeg(
            np.asarray(color), SAMPLING_FACTOR=cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411
        ),
        "jpeg with restarts": as_opencv_jpeg(np.asarray(color), RST_INTERVAL=2),
        "jpeg with odd sampling": with_odd_sampling(as_file(gray, "JPEG", quality=90)),
        "jpeg stored as rgb": as_file(color, "JPEG", quality=90, keep_rgb=True),
        "rotated jpeg": as_file(gray, "JPEG", quality=90, exif=rotating_exif()),
        "rotated color jpeg": as_file(color, "JPEG", exif=rotating_exif(8, little_endian=True)),
        "cmyk jpeg": as_file(color.convert("CMYK"), "JPEG", quality=90),
        "cmyk jpeg without adobe": without_adobe(as_file(color.convert("CMYK"), "JPEG")),
        "jpeg rotated behind other segments": with_segments(
            as_file(gray, "JPEG", exif=rotating_exif(3)), PHOTOSHOP, COLOR_PROFILE, COMMENT
        ),
        "jpeg with bytes after its end": as_file(gray, "JPEG") + bytes(30),
        "rotated cmyk jpeg": as_file(color.convert("CMYK"), "JPEG", exif=rotating_exif(3)),
        "rotated png": as_file(gray, "PNG", exif=rotating_exif()),
        "gray png": as_file(gray, "PNG"),
        "color png": as_file(color, "PNG"),
        "palette png": as_file(color.convert("P"), "PNG"),
        "16-bit png": as_file(sixteen, "PNG"),
        "png with alpha": as_file(transparent, "PNG"),
        "gray png with alpha": as_file(transparent.convert("LA"), "PNG"),
        "16-bit color png": sixteen_bits(height, width, 3),
        "16-bit png with alpha": sixteen_bits(height, width, 4),
        "1-bit png": as_file(gray.convert("1"), "PNG"),
        "4-bit palette png": as_file(color.convert("P", palette=1, colors=16), "PNG", bits=4),
        "palette png with a transparent color": as_file(palette, "PNG", transparency=5),
        "gray png with a transparent level": as_file(gray, "PNG", transparency=90),
        "png with bytes after its end": as_file(gray, "PNG") + bytes(30),
        "animated png": as_file(color, "PNG", save_all=True, append_images=[Image.new("RGB", color.size)]),
        "2-bit palette png": as_file(gray.quantize(4), "PNG", bits=2),
        "bmp": as_file(color, "BMP"),
        "gray bmp": as_file(gray, "BMP"),
        "palette bmp": as_file(palette, "BMP"),
        "bmp with few colors": with_few_colors(as_file(color.quantize(20), "BMP"), 20),
        "bmp with alpha": as_file(transparent, "BMP"),
        "bmp with masks": with_masks(as_file(transparent, "BMP")),
        "bmp from top to bottom": from_top_to_bottom(as_file(color, "BMP")),
        "bmp with bytes after its end": as_file(color, "BMP") + bytes(30),
        "gif": as_file(color, "GIF"),
        "gif with interlaced rows": as_file(palette, "GIF", interlace=True),
        "gif with rows in order": as_file(palette, "GIF", interlace=False),
        "gif with a transparent color": as_file(palette, "GIF", transparency=5, comment=b"note " * 100),
        "animated gif": as_file(
            color, "GIF", save_all=True, append_images=[Image.new("RGB", color.size)] * 3
        ),
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
