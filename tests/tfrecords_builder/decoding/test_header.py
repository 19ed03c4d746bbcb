import pytest

from tests.tfrecords_builder.image_files import image_files, jpeg_claiming, png_claiming
from tfrecords_builder.decoding import FORMATS, UnreadableImage, read_header
from tfrecords_builder.decoding.headers.jpeg import JpegHeader


def test_every_format_is_recognized_with_its_size():
    headers = {kind: read_header(encoded) for kind, encoded in image_files(50, 67).items()}

    assert {(header.width, header.height) for header in headers.values()} == {(67, 50)}
    assert {header.file_format for header in headers.values()} == set(FORMATS)
    assert all(header.file_format.lower() in kind for kind, header in headers.items())
    cmyk = {kind for kind, header in headers.items() if isinstance(header, JpegHeader) and header.is_cmyk}
    assert cmyk == {kind for kind in headers if "cmyk" in kind}


def test_the_size_is_that_of_the_stored_pixels():
    rotated, plain = (read_header(image_files(50, 67)[kind]) for kind in ("rotated jpeg", "gray jpeg"))

    assert (rotated.width, rotated.height) == (plain.width, plain.height) == (67, 50)
    assert (rotated.orientation, plain.orientation) == (6, 1)


def test_inks_are_inverted_if_adobe_wrote_the_file():
    files = image_files(50, 67)

    assert read_header(files["cmyk jpeg"]).has_inverted_inks
    assert not read_header(files["cmyk jpeg without adobe"]).has_inverted_inks


@pytest.mark.parametrize("encoded", [b"", b"no image", b"\x89PNG\r\n"])
def test_other_files_are_refused_with_their_first_bytes(encoded):
    with pytest.raises(UnreadableImage, match=f"not a JPEG, PNG, BMP or GIF image: {len(encoded)} bytes"):
        read_header(encoded)


@pytest.mark.parametrize("claiming", [png_claiming, jpeg_claiming])
@pytest.mark.parametrize("side", [9000, 60000])
def test_more_pixels_than_the_limit_are_refused(claiming, side):
    with pytest.raises(UnreadableImage, match="limit of 67108864"):
        read_header(claiming(side, side))
