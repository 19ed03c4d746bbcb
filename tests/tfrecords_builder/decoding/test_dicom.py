import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tensorflow as tf
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from tfrecords_builder import Preprocessing
from tfrecords_builder.decoding import MAX_PIXELS, UnreadableImage, decode, decode_in_graph
from tfrecords_builder.decoding.dicom import library
from tfrecords_builder.errors import UserError

ROOT = Path(__file__).parents[3]

# Decoding silences pydicom once for the process; pytest brings warnings back for every test.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

# 12 bits in 16, as X-ray detectors store them.
STORED = np.array([[0, 100, 1000], [2000, 3000, 4095]], np.uint16)


def dataset(
    stored: np.ndarray = STORED, *, bits: int = 12, syntax=ExplicitVRLittleEndian, **elements
) -> Dataset:
    """A gray X-ray with every element that its pixels need, and with `elements`."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = "1.2.3"
    made.Rows, made.Columns = stored.shape
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated = 8 * stored.itemsize
    made.BitsStored, made.HighBit = bits, bits - 1
    made.PixelRepresentation = int(stored.dtype.kind == "i")
    made.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)
    for name, value in elements.items():
        setattr(made, name, value)
    return made


def as_file(made: Dataset) -> bytes:
    data = io.BytesIO()
    made.save_as(data, enforce_file_format=True)
    return data.getvalue()


def lut(first: int, bits: int, values: list[int]) -> list[Dataset]:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first, bits])
    item.add_new("LUTData", "US", values)
    return [item]


def test_without_a_window_the_range_of_the_pixels_is_shown():
    # 255 * [0, 100, 1000, 2000, 3000, 4095] / 4095, rounded
    np.testing.assert_array_equal(decode(as_file(dataset())), [[0, 6, 62], [125, 187, 255]])
    np.testing.assert_array_equal(
        decode(as_file(dataset(np.array([[1000, 1001], [1002, 1004]], np.uint16)))), [[0, 64], [128, 255]]
    )
    assert decode(as_file(dataset())).dtype == np.uint8


def test_a_linear_window_by_the_formula_of_the_standard():
    # PS3.3 C.11.2.1.2.1: ((x - (2000 - 0.5)) / (2001 - 1) + 0.5) * 255 between 999.5 and 2999.5
    shown = decode(as_file(dataset(WindowCenter=2000, WindowWidth=2001)))

    np.testing.assert_array_equal(shown, [[0, 0, 0], [128, 255, 255]])
    # The first of several windows: center 100.5, width 201: 0 to 200
    shown = decode(as_file(dataset(WindowCenter=[100.5, 2000], WindowWidth=[201, 4096])))
    np.testing.assert_array_equal(shown, [[0, 128, 255], [255, 255, 255]])


def test_exact_and_sigmoid_windows():
    exact = decode(as_file(dataset(WindowCenter=2000, WindowWidth=2000, VOILUTFunction="LINEAR_EXACT")))
    np.testing.assert_array_equal(exact, [[0, 0, 0], [128, 255, 255]])

    sigmoid = decode(as_file(dataset(WindowCenter=2000, WindowWidth=2000, VOILUTFunction="SIGMOID")))
    expected = 255 / (1 + np.exp(-4 * (STORED - 2000.0) / 2000))
    np.testing.assert_array_equal(sigmoid, np.rint(expected))
    narrow = decode(as_file(dataset(WindowCenter=2000, WindowWidth=1, VOILUTFunction="SIGMOID")))
    np.testing.assert_array_equal(narrow, [[0, 0, 0], [128, 255, 255]])


def test_the_window_applies_to_rescaled_values():
    # Values 0.5 * stored - 1000 are [-1000, -950, -500, 0, 500, 1047.5]; the window goes from -500 to 500.
    rescaled = dataset(RescaleSlope="0.5", RescaleIntercept="-1000", WindowCenter="0.5", WindowWidth="1001")

    np.testing.assert_array_equal(decode(as_file(rescaled)), [[0, 0, 0], [128, 255, 255]])


def test_a_negative_slope_inverts():
    np.testing.assert_array_equal(
        decode(as_file(dataset(RescaleSlope="-1", RescaleIntercept="4095"))), [[255, 249, 193], [130, 68, 0]]
    )
    windowed = dataset(RescaleSlope="-1", RescaleIntercept="4095", WindowCenter="2048", WindowWidth="4096")
    np.testing.assert_array_equal(decode(as_file(windowed)), [[255, 249, 193], [130, 68, 0]])


def test_monochrome1_is_inverted():
    inverted = dataset(PhotometricInterpretation="MONOCHROME1")

    np.testing.assert_array_equal(decode(as_file(inverted)), 255 - decode(as_file(dataset())))


def test_signed_pixels_over_their_whole_range():
    stored = np.array([[-32768, -16384, 0, 32767]], np.int16)

    np.testing.assert_array_equal(decode(as_file(dataset(stored, bits=16))), [[0, 64, 128, 255]])


def test_an_image_of_one_value_is_black():
    flat = np.full((2, 3), 77, np.uint16)

    np.testing.assert_array_equal(decode(as_file(dataset(flat))), np.zeros((2, 3)))


def test_a_lookup_table_is_used_instead_of_the_window():
    stored = np.array([[0, 10, 11, 12, 13, 4000]], np.uint16)
    tabled = dataset(
        stored, VOILUTSequence=lut(10, 10, [0, 341, 682, 1023]), WindowCenter="1", WindowWidth="2"
    )

    # Levels before the first entry (10) get it, those after the last (13) get that: 1023 is white in 10 bits.
    np.testing.assert_array_equal(decode(as_file(tabled)), [[0, 0, 85, 170, 255, 255]])


def test_a_lookup_table_of_8_bits_with_more_than_256_entries():
    table = [index // 16 for index in range(4096)]

    shown = decode(as_file(dataset(VOILUTSequence=lut(0, 8, table))))

    np.testing.assert_array_equal(shown, STORED // 16)


def test_a_modality_lookup_table():
    stored = np.array([[0, 1, 2, 3]], np.uint16)
    tabled = dataset(stored, ModalityLUTSequence=lut(0, 16, [500, 600, 800, 1000]))

    # (value - 500) / 500 * 255: 0, 51, 153, 255
    np.testing.assert_array_equal(decode(as_file(tabled)), [[0, 51, 153, 255]])


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


REFUSED = {
    "frames": (dataset(NumberOfFrames=2), "2 frames"),
    "colour": (dataset(PhotometricInterpretation="RGB", SamplesPerPixel=3), "RGB"),
    "gray of three samples": (dataset(SamplesPerPixel=3), "3 samples"),
    "palette": (dataset(PhotometricInterpretation="PALETTE COLOR"), "PALETTE COLOR"),
    "32 bits": (dataset(STORED.astype(np.uint32)), "32 bits"),
    "huge": (
        dataset(Rows=60000, Columns=60000),
        f"60000x60000 pixels are more than the limit of {MAX_PIXELS}",
    ),
    "no pixels": (dataset(Rows=0), "without pixels"),
    "pixels of a second frame": (dataset(PixelData=2 * STORED.tobytes()), r"shape \(2, 2, 3\): expected one"),
    "too few pixels": (dataset(Rows=20), "cut off: 12 bytes of pixels, expected 120"),
    "lossless jpeg": (
        dataset(syntax=JPEGLosslessSV1, PixelData=encapsulate([b"\xff\xd8\xff\xd9"])),
        "cannot decode.*pylibjpeg-libjpeg",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_everything_but_a_single_gray_image_is_refused_in_one_line(kind):
    made, reason = REFUSED[kind]

    with pytest.raises(UnreadableImage, match=reason) as refusal:
        decode(as_file(made))
    assert "\n" not in str(refusal.value)


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
    damaged = dataset(np.zeros((80, 70), np.uint16))
    damaged.compress(JPEG2000Lossless)
    (tmp_path / "damaged.dcm").write_bytes(as_file(damaged).replace(b"\xff\x52", b"\xff\x53"))
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
