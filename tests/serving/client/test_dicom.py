"""The served answer about a DICOM file is that about the built record."""

import numpy as np
import pytest

from pipeline import runs
from serving.client import Client
from serving.client.images import find_images, load
from tests.serving.dicom_kinds import NAME, dicom_files
from tfrecords_builder import decoding


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return dicom_files()


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
