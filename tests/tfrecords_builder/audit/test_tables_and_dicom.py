"""The audit reads what the builder reads, with the same options, and says the same about it."""

import json
import logging
import os
import re
from pathlib import Path

import numpy as np
import pytest

from tests.tfrecords_builder.decoding.test_dicom import as_file, dataset
from tfrecords_builder.audit.__main__ import AuditConfig, audit
from tfrecords_builder.building.build import build
from tfrecords_builder.building.settings import BuildConfig
from tfrecords_builder.cli import command
from tfrecords_builder.decoding import decode
from tfrecords_builder.preprocessing import Preprocessing
from tfrecords_builder.source.find import find_source_images
from tfrecords_builder.source.settings import SourceOptions, TableOptions

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@pytest.fixture
def table(source, tmp_path) -> Path:
    """A table of the images of `source`, some of them with absolute paths, next to a folder of other name."""
    rows = [
        f"{path if number % 2 else path.name};{path.parent.name.title()};{number};{path.parts[-3].title()}"
        for number, path in enumerate(sorted(source.rglob("*.jpeg")))
    ]
    (tmp_path / "table.csv").write_text("\n".join(["file;finding;Patient ID;fold", *rows]))
    return tmp_path / "table.csv"


def options(source: Path) -> SourceOptions:
    return SourceOptions(
        TableOptions(
            path="file",
            label="finding",
            patient="Patient ID",
            split="fold",
            images=str(source),
            leave_out=("",),
        )
    )


def test_a_table_is_audited_with_the_builders_options(source, table, tmp_path):
    found = audit(AuditConfig(str(table), options(source), str(tmp_path / "audit")))

    listed = find_source_images(str(table), options(source))
    assert found.source == str(table)
    assert found.folder == str(source)
    assert sum(count.images for classes in found.counts.values() for count in classes.values()) == 38
    assert found.counts.keys() == {"train", "val", "test"}
    assert found.unreadable == ()
    assert found.notes == tuple(listed.notes)
    content = json.loads((tmp_path / "audit/audit.json").read_text())
    assert content["notes"] == listed.notes
    assert "'Pneumonia' (19)" in (tmp_path / "audit/audit.html").read_text().replace("&#39;", "'")


def test_build_and_audit_say_the_same_about_a_source(folder, tmp_path, caplog):
    (folder / "train/NORMAL/scan.tif").write_bytes(b"II*\0")
    (folder / "train/COVID19").mkdir()
    (folder / "train/COVID19/1.jpeg").write_bytes(b"\xff\xd8\xff")

    def lines(work) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            work()
        return [message for message in caplog.messages if "passed over" in message]

    built = lines(lambda: build(BuildConfig(str(folder), str(tmp_path / "records"), Preprocessing(16, 0.1))))
    audited = lines(lambda: audit(AuditConfig(str(folder), output=str(tmp_path / "audit"))))

    assert built == audited
    assert len(built) == 1
    assert "TIFF: 1 (first 'train/NORMAL/scan.tif')" in built[0]
    assert "files in other folders: 1 (first 'train/COVID19')" in built[0]
    assert "How the source was read" in (tmp_path / "audit/audit.html").read_text()


def test_dicom_is_audited_and_its_patients_are_found_in_several_splits(source, tmp_path):
    for number, path in enumerate(sorted(source.rglob("*.jpeg"))):
        target = tmp_path / "dicom" / path.relative_to(source).with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        pixels = decode(path.read_bytes()).astype(np.uint16) * 16
        target.write_bytes(as_file(dataset(pixels, PatientID=f"P{number % 5}")))

    found = audit(AuditConfig(str(tmp_path / "dicom"), output=str(tmp_path / "audit")))

    assert found.unreadable == ()
    assert len(found.shared_patients.groups) == 5
    assert all(group.is_certainly_one_child for group in found.shared_patients.groups)
    digests = audit(
        AuditConfig(str(tmp_path / "dicom"), SourceOptions(patient_digest=True), str(tmp_path / "audit"))
    )
    assert not re.search(r"\bP\d+\b", (tmp_path / "audit/audit.json").read_text())
    assert len(digests.shared_patients.groups) == 5


def test_a_pipe_does_not_stop_the_audit(folder, tmp_path):
    os.mkfifo(folder / "train/NORMAL/pipe.jpeg")

    (odd,) = audit(AuditConfig(str(folder), output=str(tmp_path / "audit"))).unreadable

    assert odd.why == "not a file: a broken link, a folder or a pipe"


def test_build_and_audit_have_the_same_options_of_sources():
    arguments = [
        "--table.path",
        "a",
        "--table.leave-out",
        "-1",
        "",
        "--patient-digest",
        "--no-dicom-patient-id",
    ]
    expected = SourceOptions(
        TableOptions(path="a", leave_out=("-1", "")), dicom_patient_id=False, patient_digest=True
    )

    assert command.parse(BuildConfig, "build", ["source", "records", *arguments]).reading == expected
    assert command.parse(AuditConfig, "audit", ["source", *arguments]).reading == expected
