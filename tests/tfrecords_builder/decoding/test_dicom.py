"""Which DICOM files are read, and how they are stored; `test_dicom_display.py` has the gray levels."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tensorflow as tf
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from tests.tfrecords_builder.decoding.dicom_files import STORED, as_file, dataset, lut
from tests.tfrecords_builder.decoding.refused_dicom import REFUSED
from tfrecords_builder import Preprocessing
from tfrecords_builder.decoding import UnreadableImage, decode, decode_in_graph
from tfrecords_builder.decoding.dicom import checks, library
from tfrecords_builder.errors import UserError

ROOT = Path(__file__).parents[3]

# Decoding silences pydicom once for the process; pytest brings warnings back for every test.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless], ids=lambda syntax: syntax.name)
def test_compressed_without_loss(syntax):
    stored = np.random.default_rng(0).integers(0, 4096, (80, 70), np.uint16)
    compressed = dataset(stored, WindowCenter="2048", WindowWidth="4096")
    expected = decode(as_file(compressed))
    compressed.compress(syntax)

    np.testing.assert_array_equal(decode(as_file(compressed)), expected)
    np.testing.assert_array_equal(expected, np.rint(stored / 4095 * 255))


def test_jpeg_inside_dicom_as_in_the_rsna_challenge():
    y, x = np.mgrid[:64, :48]
    encoded = io.BytesIO()
    Image.fromarray((2 * x + y).astype(np.uint8)).save(encoded, "JPEG", quality=95)
    made = dataset(np.zeros((64, 48), np.uint8), bits=8, syntax=JPEGBaseline8Bit)
    made.WindowCenter, made.WindowWidth = 128, 256
    made.PixelData = encapsulate([encoded.getvalue()])

    difference = decode(as_file(made)).astype(int) - np.asarray(Image.open(encoded)).astype(int)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian], ids=lambda s: s.name)
@pytest.mark.parametrize("meta", [False, True])
def test_a_file_without_preamble(syntax, meta):
    made = dataset(syntax=syntax)
    whole = as_file(made)
    bare = whole[132:]
    if not meta:
        data = io.BytesIO()
        del made.file_meta
        pydicom.dcmwrite(
            data,
            made,
            implicit_vr=syntax is ImplicitVRLittleEndian,
            little_endian=True,
            enforce_file_format=False,
        )
        bare = data.getvalue()

    assert bare[128:132] != b"DICM"
    np.testing.assert_array_equal(decode(bare), decode(whole))


def test_big_endian_files():
    made = dataset(STORED.byteswap(), syntax=ExplicitVRBigEndian)
    made["PixelData"].VR = "OW"

    np.testing.assert_array_equal(decode(as_file(made)), decode(as_file(dataset())))


def test_the_high_bit_of_pixels_in_rle():
    shifted = dataset(STORED * 16, HighBit=15)
    shifted.compress(RLELossless)
    shifted.HighBit = 15

    np.testing.assert_array_equal(decode(as_file(shifted)), decode(as_file(dataset())))


def test_deflated_files():
    np.testing.assert_array_equal(
        decode(as_file(dataset(syntax=DeflatedExplicitVRLittleEndian))), decode(as_file(dataset()))
    )


def test_a_deflated_file_that_grows_beyond_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(checks, "MAX_DEFLATED_BYTES", 100_000)
    bomb = dataset(syntax=DeflatedExplicitVRLittleEndian, PixelData=bytes(1_000_000))

    with pytest.raises(UnreadableImage, match="larger than 100000 bytes when it is inflated"):
        decode(as_file(bomb))


def test_compressed_pixels_without_the_delimiter_at_their_end():
    whole = dataset(np.zeros((40, 30), np.uint16) + np.arange(30, dtype=np.uint16))
    whole.compress(RLELossless)
    encoded = as_file(whole)
    assert encoded.endswith(b"\xfe\xff\xdd\xe0" + bytes(4))

    np.testing.assert_array_equal(decode(encoded[:-8]), decode(encoded))
    with pytest.raises(UnreadableImage):
        decode(encoded[:-30])


def test_sequences_of_unknown_length():
    made = dataset(VOILUTSequence=lut(0, 12, [0, 4095]))
    expected = decode(as_file(made))
    made["VOILUTSequence"].is_undefined_length = True
    made.VOILUTSequence[0].is_undefined_length_sequence_item = True

    np.testing.assert_array_equal(decode(as_file(made)), expected)


def without_delimiter(delimiter: bytes) -> bytes:
    """A DICOM with a lookup table of unknown length, whose end is not marked."""
    made = dataset(VOILUTSequence=lut(0, 12, [0, 4095]))
    made["VOILUTSequence"].is_undefined_length = True
    made.VOILUTSequence[0].is_undefined_length_sequence_item = True
    encoded = as_file(made)
    assert encoded.count(delimiter + bytes(4)) == 1
    return encoded.replace(delimiter + bytes(4), b"")


@pytest.mark.parametrize("delimiter", [b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"], ids=["item", "sequence"])
def test_sequences_without_a_delimiter_are_refused_in_one_line(delimiter):
    with pytest.raises(UnreadableImage, match=r"^DICOM that is damaged or cut off: .*$") as refusal:
        decode(without_delimiter(delimiter))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", REFUSED)
def test_everything_but_a_single_gray_image_is_refused_with_the_reason(kind):
    made, reason = REFUSED[kind]

    with pytest.raises(UnreadableImage) as refusal:
        decode(as_file(made))
    assert str(refusal.value) == reason


def test_files_that_are_cut_off_are_refused_with_the_reason():
    encoded = as_file(dataset())

    with pytest.raises(UnreadableImage, match=r"^DICOM that is cut off: 7 bytes of pixels, expected 12$"):
        decode(encoded[:-5])
    with pytest.raises(UnreadableImage, match=r"^DICOM without pixels, or cut off before them$"):
        decode(encoded[:200])


def with_damaged_pixels() -> bytes:
    """A DICOM whose pixels in JPEG 2000 cannot be decompressed."""
    damaged = dataset(np.zeros((80, 70), np.uint16))
    damaged.compress(JPEG2000Lossless)
    return as_file(damaged).replace(b"\xff\x52", b"\xff\x53")


def test_damaged_files_are_refused_or_read_and_cause_no_other_error():
    generator = np.random.default_rng(1)
    compressed = dataset(np.zeros((40, 30), np.uint16), WindowCenter="9", WindowWidth="20")
    compressed.compress(RLELossless)
    refused = 0
    for whole in (as_file(dataset(WindowCenter="9", WindowWidth="20")), as_file(compressed)):
        cuts = [whole[:length] for length in range(133, len(whole), 23)]
        flipped = []
        for _ in range(150):
            damaged = bytearray(whole)
            for place in generator.integers(132, len(whole), 3):
                damaged[place] = generator.integers(256)
            flipped.append(bytes(damaged))
        for damaged in cuts + flipped:
            try:
                image = decode(damaged)
            except UnreadableImage:
                refused += 1
            else:
                assert image.dtype == np.uint8
                assert image.ndim == 2
    assert refused > 50


def test_the_builders_preprocessing_reads_it_and_the_graph_does_not():
    stored = np.tile(np.arange(64, dtype=np.uint16) * 64, (64, 1))
    encoded = as_file(dataset(stored, WindowCenter="2048", WindowWidth="4096"))

    np.testing.assert_array_equal(
        Preprocessing(64, 0).apply(encoded), np.tile(np.rint(np.arange(64) * 64 * 255 / 4095), (64, 1))
    )
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_in_graph(tf.constant(encoded))


def test_without_pydicom_the_extra_is_named(monkeypatch):
    encoded = as_file(dataset())
    library.import_pydicom.cache_clear()
    monkeypatch.setitem(sys.modules, "pydicom", None)
    monkeypatch.setitem(sys.modules, "pydicom.pixels", None)

    with pytest.raises(UserError, match=r"chest-xray-pipeline\[dicom\]"):
        decode(encoded)


def test_pydicom_is_loaded_only_for_dicom_and_writes_nothing_to_stderr(tmp_path):
    with_rest = dataset()
    with_rest.PixelData += b"rest"
    (tmp_path / "rest.dcm").write_bytes(as_file(with_rest))
    (tmp_path / "damaged.dcm").write_bytes(with_damaged_pixels())
    code = """
import logging, pathlib, sys
logging.basicConfig(level=logging.INFO)
from tfrecords_builder.decoding import UnreadableImage, decode
assert "pydicom" not in sys.modules
decode(pathlib.Path(sys.argv[1], "rest.dcm").read_bytes())
assert "pydicom" in sys.modules
try:
    decode(pathlib.Path(sys.argv[1], "damaged.dcm").read_bytes())
except UnreadableImage as error:
    print(error)
"""

    finished = subprocess.run(
        [sys.executable, "-W", "always", "-c", code, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.startswith("DICOM that pydicom cannot decode")
    with pytest.warns(UserWarning, match="padding"):  # which the user does not see
        assert pydicom.dcmread(tmp_path / "rest.dcm").pixel_array.shape == STORED.shape
