"""X-rays as hospitals have them: the served answer about a DICOM file is that about the built record."""

import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from pipeline import runs
from serving.client import Client
from serving.client.images import find_images, load
from tests.tfrecords_builder.decoding.dicom_files import as_file, dataset, jpeg_inside, lut
from tfrecords_builder import decoding

HEIGHT, WIDTH = 70, 90
NAME = "Doe^Jane"


def xray(number: int, dtype: type = np.uint16, bits: int = 12, side: tuple[int, int] = (HEIGHT, WIDTH)):
    """Noise around a bright or a dark middle, in so many bits."""
    height, width = side
    generator = np.random.default_rng(number)
    y, x = np.mgrid[:height, :width]
    spot = np.exp(-(((y - height / 2) / 15) ** 2) - ((x - width / 2) / 15) ** 2) * (number % 2)
    values = 0.3 + 0.1 * generator.standard_normal((height, width)) + 0.5 * spot
    return (np.clip(values, 0, 1) * (2**bits - 1)).astype(dtype)


def jpeg() -> bytes:
    pixels = jpeg_inside(HEIGHT, WIDTH)
    return as_file(dataset(xray(0, np.uint8, 8), bits=8, syntax=JPEGBaseline8Bit, PixelData=pixels))


KINDS = {
    "12 bits": dataset(xray(0)),
    "12 bits, spot": dataset(xray(1)),
    "16 bits": dataset(xray(2, bits=16), bits=16),
    "16 bits, spot": dataset(xray(3, bits=16), bits=16),
    "10 bits": dataset(xray(4, bits=10), bits=10),
    "8 bits": dataset(xray(5, np.uint8, 8), bits=8),
    "signed": dataset(xray(6, np.int16, 11), bits=12),
    "MONOCHROME1": dataset(xray(7), PhotometricInterpretation="MONOCHROME1"),
    "MONOCHROME1 of 8 bits": dataset(xray(8, np.uint8, 8), bits=8, PhotometricInterpretation="MONOCHROME1"),
    "window": dataset(xray(9), WindowCenter=1500, WindowWidth=2000),
    "narrow window": dataset(xray(10), WindowCenter=1200, WindowWidth=300),
    "sigmoid window": dataset(xray(11), WindowCenter=1500, WindowWidth=900, VOILUTFunction="SIGMOID"),
    "rescaled": dataset(xray(12), RescaleSlope=2, RescaleIntercept=-1000),
    "lookup table": dataset(
        xray(13, np.uint8, 8), bits=8, VOILUTSequence=lut(0, 8, list(range(255, -1, -1)))
    ),
    "padding": dataset(np.pad(xray(14), 9), PixelPaddingValue=0),
    "padding, MONOCHROME1": dataset(
        np.pad(xray(15), 9), PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1"
    ),
    "implicit": dataset(xray(16), syntax=ImplicitVRLittleEndian),
    "deflated": dataset(xray(17), syntax=DeflatedExplicitVRLittleEndian),
    "large": dataset(xray(18, side=(700, 900))),
    "small": dataset(xray(19, side=(20, 24))),
}


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """20 X-rays, each of another kind, and one that is compressed."""
    for made in KINDS.values():
        made.PatientName = NAME
    return {kind: as_file(made) for kind, made in KINDS.items()} | {"JPEG": jpeg()}


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_the_served_probability_is_that_of_the_built_record(local_server, finished_run, files, transport):
    run = runs.load(finished_run)
    built = np.stack([run.preprocessing.apply(encoded) for encoded in files.values()])[..., None]
    expected = run.model.predict_on_batch(built)[:, 0]

    with Client(f"127.0.0.1:{getattr(local_server, transport)}", transport) as client:
        answers = client.predict(files.values())

    assert all(answer.valid for answer in answers)
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose([answer.probability for answer in answers], expected, atol=1e-5)


def test_nothing_that_the_file_says_of_the_patient_is_sent(files):
    for kind, encoded in files.items():
        sent = load(encoded).encoded
        assert sent.startswith(b"\x89PNG"), kind
        assert NAME.encode() not in sent
        np.testing.assert_array_equal(decoding.decode(sent), decoding.decode(encoded))
    assert NAME.encode() in files["12 bits"]


def test_dicom_files_are_found_in_folders_whatever_their_names(files, tmp_path):
    (tmp_path / "study").mkdir()
    for name in ("1.2.840.7", "scan.dcm", "IM0001"):
        (tmp_path / "study" / name).write_bytes(files["8 bits"])
    (tmp_path / "notes.txt").write_text("no image")

    found = find_images([str(tmp_path)])

    assert [path.rpartition("/")[2] for path in found] == ["1.2.840.7", "IM0001", "scan.dcm"]


def test_a_damaged_file_is_said_and_does_not_stop_the_others(local_server, files):
    with Client(f"127.0.0.1:{local_server.grpc}", "grpc") as client:
        good, bad = client.predict([files["8 bits"], files["8 bits"][:400]])

    assert good.valid
    assert not bad.valid
    assert "DICOM" in bad.reason
    assert NAME not in bad.reason
