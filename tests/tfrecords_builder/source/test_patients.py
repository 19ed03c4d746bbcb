"""Who is on an image: a table, DICOM's PatientID, or names say it."""

import sys

import numpy as np
import pytest

from tests.tfrecords_builder.decoding.test_dicom import as_file, dataset
from tests.tfrecords_builder.source.tables import read
from tfrecords_builder.building.build import build
from tfrecords_builder.building.settings import BuildConfig
from tfrecords_builder.errors import UserError
from tfrecords_builder.preprocessing import Preprocessing
from tfrecords_builder.source.find import find_source_images
from tfrecords_builder.source.settings import SourceOptions
from tfrecords_builder.source.splits import draw_test, draw_validation

# Reading silences pydicom once for the process; pytest brings warnings back for every test.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

NO_PATIENT_ID = SourceOptions(dicom_patient_id=False)


def dicom(patient: str | None, seed: int = 0) -> bytes:
    """A small DICOM X-ray of a patient."""
    elements = {} if patient is None else {"PatientID": patient}
    return as_file(
        dataset(np.random.default_rng(seed).integers(0, 4096, (8, 8)).astype(np.uint16), **elements)
    )


@pytest.fixture
def dicoms(tmp_path):
    """A chest_xray/ of 120 DICOM files of 60 children, two of each, without suffixes."""
    for number in range(120):
        child = number // 2
        path = tmp_path / f"chest_xray/train/{('NORMAL', 'PNEUMONIA')[child % 2]}/IM{number:06d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dicom(f"C{child}", number))
    return tmp_path / "chest_xray"


def patients(found) -> list[str]:
    return [image.patient for image in found.images]


def warnings(found) -> list[str]:
    return [note for note in found.notes if "patient" in note]


def test_the_patient_of_dicom_is_its_patient_id(dicoms):
    found = find_source_images(str(dicoms))

    assert set(patients(found)) == {f"C{child}" for child in range(60)}
    assert warnings(found) == []


def test_no_child_of_a_dicom_folder_is_in_two_splits(dicoms):
    images = draw_validation(draw_test(find_source_images(str(dicoms)).images, 0.2, 0), 0.2, 0)

    of_split = [
        {image.patient for image in images if image.split == split} for split in ("train", "val", "test")
    ]
    assert sum(map(len, of_split)) == 60
    assert all(of_split)


def test_the_patient_id_can_be_ignored_and_then_there_is_a_warning(dicoms):
    found = find_source_images(str(dicoms), NO_PATIENT_ID)

    assert len(set(patients(found))) == 120
    (line,) = warnings(found)
    assert line.startswith("nothing says who is on 120 of 120 images (first 'train/NORMAL/IM000000')")
    assert "\n" not in line


@pytest.mark.parametrize("patient", [None, "", "  "])
def test_without_a_patient_id_the_name_says_who_it_is(dicoms, patient):
    (dicoms / "train/NORMAL/person7_virus_1.dcm").write_bytes(dicom(patient))
    (dicoms / "train/NORMAL/other.dcm").write_bytes(dicom(patient))

    found = find_source_images(str(dicoms))

    assert patients(found)[-62:-60] == ["other", "person7"]
    (line,) = warnings(found)
    assert line.startswith("nothing says who is on 1 of 122 images (first 'train/NORMAL/other.dcm')")


def test_where_one_patient_id_is_in_all_files_the_remedy_is_named(dicoms):
    for number, path in enumerate(sorted(dicoms.rglob("IM*"))):
        path.write_bytes(dicom("ANONYMOUS", number))

    images = find_source_images(str(dicoms)).images

    with pytest.raises(UserError, match=r"images of 1 patients.*add --no-dicom-patient-id"):
        draw_validation(images, 0.1, 0)


def test_a_damaged_header_is_left_to_the_decoder(dicoms):
    (dicoms / "train/NORMAL/cut.dcm").write_bytes(dicom("C1")[:150])
    (dicoms / "train/NORMAL/noise.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 99)

    assert len(find_source_images(str(dicoms)).images) == 122


def test_dicom_named_like_a_jpeg_has_a_patient_too(dicoms):
    (dicoms / "train/NORMAL/a.jpg").write_bytes(dicom(" 7.0 "))

    assert "7" in patients(find_source_images(str(dicoms)))


def test_without_pydicom_the_extra_is_named_before_anything_is_read(dicoms, monkeypatch):
    from tfrecords_builder.decoding.dicom import import_pydicom

    import_pydicom.cache_clear()
    monkeypatch.setitem(sys.modules, "pydicom", None)
    monkeypatch.setitem(sys.modules, "pydicom.pixels", None)
    with pytest.raises(UserError, match=r"chest-xray-pipeline\[dicom\]"):
        find_source_images(str(dicoms))
    import_pydicom.cache_clear()


def test_a_table_without_a_patient_column_reads_the_patient_id(dicoms):
    rows = [f"{path},{path.parent.name}" for path in sorted(dicoms.rglob("IM*"))]
    (dicoms / "table.csv").write_text("\n".join(["path,label", *rows]))
    (dicoms / "with patients.csv").write_text(
        "\n".join(["path,label,patient", *(f"{row},P{number}" for number, row in enumerate(rows))])
    )

    assert len(set(patients(read(dicoms / "table.csv")))) == 60
    assert set(patients(read(dicoms / "with patients.csv"))) == {f"P{number}" for number in range(120)}


def test_whole_numbers_are_one_patient_in_the_splits_too(write):
    rows = [
        f"{number}.png,{number % 2},{number // 4}{'.0' if number % 4 > 1 else ''}" for number in range(80)
    ]
    file = write("path,label,patient", *rows, images=("0.png",))

    images = draw_validation(draw_test(read(file).images, 0.2, 0), 0.2, 0)

    assert {image.patient for image in images} == {str(number) for number in range(20)}
    of_split = [
        {image.patient for image in images if image.split == split} for split in ("train", "val", "test")
    ]
    assert sum(map(len, of_split)) == 20


def test_numbers_with_and_without_a_prefix_are_never_separated(tmp_path):
    for number in range(30):
        for name in (f"IM-{number:04d}-0001.jpeg", f"NORMAL2-IM-{number:04d}-0001.jpeg"):
            (tmp_path / "train/NORMAL").mkdir(parents=True, exist_ok=True)
            (tmp_path / "train/NORMAL" / name).touch()
        (tmp_path / "train/PNEUMONIA").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"train/PNEUMONIA/person{number}_virus_{number}.jpeg").touch()

    images = draw_validation(find_source_images(str(tmp_path)).images, 0.3, 0)

    assert len({image.patient for image in images}) == 60
    validation = {image.patient for image in images if image.split == "val"}
    assert validation
    assert not validation & {image.patient for image in images if image.split == "train"}


@pytest.mark.parametrize(
    "column",
    [
        "Patient ID",
        "patientId",
        "PatientID",
        "patient_id",
        "PATIENT",
        "subject",
        "subject_id",
        "MRN",
        "Case",
        "case no.",
    ],
)
def test_a_column_that_looks_like_patients_is_named(write, column):
    file = write(f"path,label,{column}", "1.png,1,7", "2.png,0,7", "3.png,0,8", images=("1.png",))

    (line,) = warnings(read(file))
    assert f"column {column!r} looks like one of patients: choose it with --table.patient" in line
    assert warnings(read(file, patient=column)) == []
    assert "looks like" not in "".join(warnings(read(file, patient="")))


@pytest.mark.parametrize(
    "column", ["Patient Age", "Patient Gender", "patient_sex", "caption", "subjective", "study"]
)
def test_other_columns_do_not_look_like_patients(write, column):
    file = write(f"path,label,{column}", "1.png,1,7", "2.png,0,7", images=("1.png",))

    assert "looks like" not in "".join(read(file).notes)


def test_a_column_of_patients_who_have_one_image_each_is_doubtful(write):
    file = write("path,label,patient", "1.png,1,7", "2.png,0,8", images=("1.png",))

    (line,) = warnings(read(file))
    assert line.startswith("every image has a patient of its own (2 patients)")


def test_patients_become_digests_if_the_user_asks(dicoms, tmp_path):
    content = build(
        BuildConfig(
            str(dicoms), str(tmp_path / "records"), Preprocessing(16, 0.1),
            SourceOptions(patient_digest=True), val_fraction=0.2,
        )
    )  # fmt: skip

    assert content.splits["train"].patients + content.splits["val"].patients == 60
    for path in (tmp_path / "records").iterdir():
        assert b"C1" not in path.read_bytes().replace(b"IMC1", b"")
    digests = patients(find_source_images(str(dicoms), SourceOptions(patient_digest=True)))
    assert len(set(digests)) == 60
    assert all(len(digest) == 16 and int(digest, 16) >= 0 for digest in digests)
