import pytest

from tfrecords_builder.source.file_names import patient_and_subtype


@pytest.mark.parametrize(
    ("name", "patient", "subtype"),
    [
        ("person12_bacteria_46.jpeg", "person12", "bacteria"),
        ("person12_virus_46.jpeg", "person12", "virus"),
        ("person1234_virus_1_2.jpeg", "person1234", "virus"),
        ("IM-0115-0001.jpeg", "IM-0115", ""),
        ("IM-0669-0001-0002.jpeg", "IM-0669", ""),
        ("NORMAL2-IM-1427-0001.jpeg", "NORMAL2-IM-1427", ""),
        ("NORMAL2-IM-1228-0001-0001.jpeg", "NORMAL2-IM-1228", ""),
        ("00001280_004.png", "00001280_004", ""),
        ("CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg", "patient00001", ""),
        ("a/patient7/person12_virus_46.jpeg", "person12", "virus"),
        ("a/view.1.png", "a/view.1", ""),
        ("outpatient7/view.png", "outpatient7/view", ""),
    ],
)
def test_patient_and_subtype_are_read_from_the_names_of_the_dataset(name, patient, subtype):
    assert patient_and_subtype(name) == (patient, subtype)
