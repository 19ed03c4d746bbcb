"""docs/formats.md says what the code does."""

import re
from pathlib import Path

import pytest

from tests.tfrecords_builder.decoding import test_dicom
from tests.tfrecords_builder.decoding.damaged_files import REFUSED
from tests.tfrecords_builder.decoding.refused_dicom import REFUSED as REFUSED_DICOM
from tfrecords_builder.building.settings import BuildConfig
from tfrecords_builder.decoding import FORMATS, MAX_PIXELS, UnreadableImage, decode, formats, read_header
from tfrecords_builder.decoding.dicom.checks import MAX_DEFLATED_BYTES
from tfrecords_builder.decoding.graph import gif
from tfrecords_builder.decoding.headers import jpeg
from tfrecords_builder.source.images import MAX_FILE_BYTES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/formats.md").read_text(encoding="utf-8")
# test_dicom has a file that is refused with a lower limit: it takes long to make one for this.
INFLATED = f"DICOM that is larger than {MAX_DEFLATED_BYTES} bytes when it is inflated"
REFUSALS = PAGE[PAGE.index("## What is refused, with the message") :]


def messages_on_the_page() -> set[str]:
    rows = [line for line in REFUSALS.splitlines() if line.startswith("|") and "`" in line]
    return {message for row in rows for message in re.findall(r"`([^`]+)`", row.rsplit(" | ", 1)[1])}


def messages_of_the_code() -> set[str]:
    """What is said of the files that the tests refuse."""
    said = {message for _, message in REFUSED.values()} | {message for _, message in REFUSED_DICOM.values()}
    with pytest.raises(UnreadableImage) as of_dicom:
        read_header(bytes(128) + b"DICM")
    with pytest.raises(UnreadableImage) as of_delimiter:
        decode(test_dicom.without_delimiter(b"\xfe\xff\x0d\xe0"))
    with pytest.raises(UnreadableImage) as of_pixels:
        decode(test_dicom.with_damaged_pixels())
    return said | {str(error.value) for error in (of_dicom, of_delimiter, of_pixels)}


DIFFERS = (
    r"^\w+(?= is not read)|^\w+(?= of \S+ pixels: there)|(?<=compressed as ).*(?=: no )"
    r"|IDAT|IEND|RGB|PALETTE COLOR|MONOCHROME\d(?= with \d s)|b'[^']*'|-?\d+"
)


def kind(message: str) -> str:
    """A message without what differs from file to file."""
    if message.startswith("DICOM that pydicom cannot decode: "):
        return message.partition(": ")[0]
    return re.sub(DIFFERS, "*", message)


def test_every_message_is_on_the_page_and_every_message_on_the_page_is_said():
    on_page, said = messages_on_the_page(), messages_of_the_code() | {INFLATED}

    assert {kind(message) for message in on_page} == {kind(message) for message in said}
    assert {message for message in on_page if not message.endswith("...")} <= said  # to the letter


def test_every_message_in_the_code_is_made_by_a_test():
    """A message that no test makes would be missing from the page."""
    raised = set()
    for path in (ROOT / "tfrecords_builder/decoding").rglob("*.py"):
        for text in re.findall(r"UnreadableImage\(\s*f?\"([^\"{]+)", path.read_text(encoding="utf-8")):
            raised.add(text.strip())
    assert len(raised) > 20
    for beginning in raised:
        assert any(beginning in message for message in messages_on_the_page()), beginning


def test_every_format_is_named():
    for name in FORMATS:
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
        for magic in formats.MAGIC[name]:
            assert f"`{magic.hex(' ')}`" in row
    others = {name for name, _ in formats._OTHER_FORMATS}
    listed = next(line for line in PAGE.splitlines() if line.startswith("| another format: "))
    assert set(listed.split(": ")[1].split(" | ")[0].split(", ")) == others


def test_every_limit_is_named():
    def row(what: str) -> str:
        return next(line for line in PAGE.splitlines() if line.startswith(f"| {what}"))

    assert f"{MAX_PIXELS:,} (2^26)" in row("pixels of an image")
    assert f"{formats.MAX_SIDE:,} pixels" in row("width, height")
    assert f"{MAX_FILE_BYTES >> 20} MiB" in row("size of a file")
    assert f"{formats.MAX_BYTES_PER_PIXEL} bytes per pixel" in row("memory to decode")
    assert f"{formats.MAX_BYTES_PER_PIXEL * MAX_PIXELS >> 30} GiB" in row("memory to decode")
    assert f"{jpeg.MAX_STEPS:,}" in row("JPEG: segments")
    assert f"{jpeg.MAX_SCANS:,}" in row("JPEG: passes")
    assert f"{gif.MAX_STEPS:,}" in row("GIF: blocks")


def test_every_element_of_dicom_that_is_read_is_named():
    code = "".join(path.read_text() for path in (ROOT / "tfrecords_builder/decoding/dicom").glob("*.py"))
    read = set(re.findall(r"(?:get\(|dataset, |item\.get\()\"([A-Z]\w+)\"", code))
    read |= set(re.findall(r"dataset\.([A-Z]\w+)", code)) - {"Dataset"}

    assert len(read) > 15
    assert read - {"PixelData"} <= set(re.findall(r"`(\w+)`", PAGE))


def test_the_option_is_that_of_the_builder():
    assert "`--sixteen-bits high_byte`" in PAGE
    assert BuildConfig("source", "records").preprocessing.sixteen_bits == "range"
