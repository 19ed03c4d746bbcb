"""Only the formats that are named reach a decoder, by their first bytes."""

import io
import struct
import time

import pytest
from PIL import Image

from tests.tfrecords_builder.decoding.both_decoders import in_both
from tests.tfrecords_builder.decoding.damaged_files import other_format
from tests.tfrecords_builder.image_files import as_file, image_files
from tfrecords_builder.decoding import (
    BEGINNING_BYTES,
    DICOM,
    FORMATS,
    UnreadableImage,
    read_header,
    recognize,
)

OTHERS = {
    "WebP": other_format(".webp"),
    "TIFF": other_format(".tiff"),
    "JPEG 2000": other_format(".jp2"),
    "AVIF": other_format(".avif"),
    "Radiance HDR": other_format(".hdr"),
    "PNM": other_format(".ppm"),
    "PFM": other_format(".pfm"),
    "Sun raster": other_format(".ras"),
    "JPEG XL": b"\xff\x0a" + bytes(200),
    "HEIF": b"\0\0\0\x18ftypheic" + bytes(200),
    "OpenEXR": b"v/1\1" + bytes(200),
    "Photoshop": b"8BPS" + bytes(200),
}
MORE = {
    "TIFF": b"MM\0*" + bytes(200),
    "JPEG 2000": b"\xff\x4f\xff\x51" + bytes(200),
    "PNM": other_format(".pgm"),
    "JPEG XL": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(200),
    "WebP": as_file(
        Image.new("RGB", (20, 20)), "WEBP", save_all=True, append_images=[Image.new("RGB", (20, 20), 9)]
    ),
}


@pytest.mark.parametrize("files", [OTHERS, MORE])
def test_other_formats_are_refused_by_both_with_their_name(files):
    for name, encoded in files.items():
        assert recognize(encoded[:BEGINNING_BYTES]) == name
        assert in_both(encoded) == f"{name} is not read: convert the image to PNG"
        with pytest.raises(UnreadableImage, match=f"{name} is not read"):
            read_header(encoded)


@pytest.mark.parametrize("file_format", ["TGA", "PCX", "ICO", "PDF", "DDS"])
def test_formats_that_are_not_known_are_refused_by_both(file_format):
    encoded = as_file(Image.new("RGB", (32, 32), (1, 2, 3)), file_format)

    assert in_both(encoded).startswith("not a JPEG, PNG, BMP or GIF image")


def test_a_webp_of_many_pixels_is_refused_before_any_is_decoded():
    in_both(OTHERS["WebP"])  # traces the graph

    begin = time.process_time()
    assert in_both(webp_claiming(16383, 16383)) == "WebP is not read: convert the image to PNG"
    assert time.process_time() - begin < 0.5


def webp_claiming(width: int, height: int) -> bytes:
    """The header of a WebP without loss, and no pixels."""
    size = struct.pack("<I", (width - 1) | (height - 1) << 14)
    data = b"VP8L" + struct.pack("<I", 16) + b"\x2f" + size + bytes(11)
    return b"RIFF" + struct.pack("<I", 4 + len(data)) + b"WEBP" + data


def test_the_first_bytes_tell_the_formats_that_are_read():
    for kind, encoded in image_files(50, 67).items():
        assert recognize(encoded[:BEGINNING_BYTES]) in FORMATS
        assert recognize(encoded[:BEGINNING_BYTES]).lower() in kind
    assert recognize(bytes(128) + b"DICM") == DICOM
    assert recognize(b"\x08\0\x05\0" + bytes(200)) == DICOM
    assert recognize(b"II*\0" + bytes(124) + b"DICM") == DICOM  # a preamble may be that of a TIFF
    for other in (b"", b"\x89PNG", b"GIF8", b"\xff\xd8", b"hello"):
        assert recognize(other) is None


def test_dicom_is_not_for_the_served_model():
    with pytest.raises(UnreadableImage, match="DICOM is read by the builder and the client only: convert"):
        read_header(bytes(128) + b"DICM")


def test_a_name_says_nothing_about_the_format(tmp_path):
    png = io.BytesIO()
    Image.new("L", (20, 20)).save(png, "PNG")

    assert read_header(png.getvalue()).file_format == "PNG"
