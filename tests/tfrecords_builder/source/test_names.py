import pytest

from tfrecords_builder.source.names import class_of, patient_and_subtype, series, split_of, whole_number


@pytest.mark.parametrize(
    ("name", "patient", "subtype"),
    [
        ("person12_bacteria_46.jpeg", "person12", "bacteria"),
        ("person12_virus_46.jpeg", "person12", "virus"),
        ("person1234_virus_1_2.jpeg", "person1234", "virus"),
        ("IM-0115-0001.jpeg", "IM-0115", ""),
        ("IM-0669-0001-0002.jpeg", "IM-0669", ""),
        ("NORMAL2-IM-1427-0001.jpeg", "IM-1427", ""),
        ("NORMAL2-IM-1228-0001-0001.jpeg", "IM-1228", ""),
        ("normal2-im-0115-0001.jpeg", "IM-0115", ""),
        ("CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg", "patient00001", ""),
        ("a/patient7/person12_virus_46.jpeg", "person12", "virus"),
        ("00001280_004.png", "", ""),
        ("a/view.1.png", "", ""),
        ("outpatient7/view.png", "", ""),
    ],
)
def test_patient_and_subtype_are_read_from_the_names_of_the_dataset(name, patient, subtype):
    assert patient_and_subtype(name) == (patient, subtype)


def test_names_that_differ_in_the_series_of_their_number_are_told_apart():
    names = (
        "person7_bacteria_1.jpeg",
        "person7_virus_1.jpeg",
        "IM-0007-0001.jpeg",
        "NORMAL2-IM-0007-0001.jpeg",
    )
    assert [series(f"train/{name}") for name in names] == ["bacteria", "virus", "", "normal2-"]
    assert series("patient7/view.png") == ""


def test_splits_and_classes_are_named_in_any_case():
    names = ("Train", "TRAINING", "validation", "Valid", "vaL", " test", "Testing")
    assert [split_of(name) for name in names] == [
        "train", "train", "val", "val", "val", "test", "test",
    ]  # fmt: skip
    assert split_of("holdout") is split_of("") is None
    assert [class_of(name) for name in ("normal", "Pneumonia", "NORMAL ")] == [0, 1, 0]
    assert class_of("COVID19") is class_of("NORMAL2") is None


def test_whole_numbers_are_written_in_one_way():
    assert [whole_number(text) for text in ("7", "7.0", "7.", "-1.00", "7.5", "P7.0", "007", "")] == [
        "7", "7", "7", "-1", "7.5", "P7.0", "007", "",
    ]  # fmt: skip
