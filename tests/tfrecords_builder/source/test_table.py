from pathlib import Path

import pytest

from tests.tfrecords_builder.source.tables import read
from tfrecords_builder.cli import command
from tfrecords_builder.errors import UserError
from tfrecords_builder.source.images import SourceImage
from tfrecords_builder.source.settings import TableOptions


def labels(images: list[SourceImage]) -> dict[str, int]:
    return {image.source: image.label for image in images}


def test_a_table_with_the_default_columns(write):
    file = write(
        "path,label,patient,split,subtype",
        "a/1.png,PNEUMONIA,p1,train,Virus",
        "a/2.png,NORMAL,p2,Train,",
        "b/3.png,pneumonia,p3,TEST,bacteria",
        "b/4.png,,p4,test,",
        images=("a/1.png",),
    )

    assert read(file).images == [
        SourceImage("a/1.png", "train", 1, "p1", "virus"),
        SourceImage("a/2.png", "train", 0, "p2", ""),
        SourceImage("b/3.png", "test", 1, "p3", "bacteria"),
        SourceImage("b/4.png", "test", 0, "p4", ""),
    ]


def test_patient_and_subtype_are_read_from_the_names_of_the_kaggle_dataset(write):
    file = write(
        "path,label",
        "train/person12_bacteria_46.jpeg,1",
        "train/NORMAL2-IM-1427-0001.jpeg,0",
        images=("train/person12_bacteria_46.jpeg",),
    )

    assert read(file).images == [
        SourceImage("train/person12_bacteria_46.jpeg", "train", 1, "person12", "bacteria"),
        SourceImage("train/NORMAL2-IM-1427-0001.jpeg", "train", 0, "IM-1427", ""),
    ]


def test_nih_chestxray14(write):
    file = write(
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position",
        "00000001_000.png,Cardiomegaly|Emphysema,0,1,57,M,PA",
        "00000001_001.png,Effusion|Pneumonia,1,1,58,M,PA",
        "00000013_005.png,Pneumonia,5,13,60,M,AP",
        "00000002_000.png,No Finding,0,2,80,M,PA",
        "00000003_000.png,Pneumothorax,0,3,81,F,PA",
        images=("images/00000001_000.png",),
    )
    columns = {
        "path": "Image Index",
        "label": "Finding Labels",
        "positive": ("Pneumonia",),
        "patient": "Patient ID",
        "images": str(Path(file).parent / "images"),
    }

    images = read(file, **columns).images

    assert [(image.source, image.label, image.patient) for image in images] == [
        ("00000001_000.png", 0, "1"),
        ("00000001_001.png", 1, "1"),
        ("00000013_005.png", 1, "13"),
        ("00000002_000.png", 0, "2"),
        ("00000003_000.png", 0, "3"),
    ]
    assert {image.split for image in images} == {"train"}
    assert read(file, **columns).folder == str(Path(file).parent / "images")


def test_chexpert(write):
    study = "CheXpert-v1.0-small/train/patient0000{}/study1/view1_frontal.jpg"
    file = write(
        "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Pneumonia",
        f"{study.format(1)},Female,68,Frontal,AP,1.0,",
        f"{study.format(2)},Female,87,Frontal,AP,,1.0",
        f"{study.format(3)},Male,41,Frontal,AP,,0.0",
        f"{study.format(4)},Male,42,Frontal,AP,,-1.0",
        f"{study.format(4).replace('study1', 'study2')},Male,42,Frontal,AP,,1.0",
        images=(study.format(1),),
    )

    images = read(file, path="Path", label="Pneumonia").images

    assert [image.label for image in images] == [0, 1, 0, 0, 1]
    assert [image.patient for image in images] == [f"patient0000{n}" for n in (1, 2, 3, 4, 4)]
    uncertain = read(file, path="Path", label="Pneumonia", positive=("1", "-1")).images
    assert [image.label for image in uncertain] == [0, 1, 0, 1, 1]


def test_rsna_with_several_rows_of_one_image(write):
    file = write(
        "patientId,x,y,width,height,Target",
        "0004cfab,,,,,0",
        "00436515,264.0,152.0,213.0,379.0,1",
        "00436515,562.0,152.0,256.0,453.0,1",
        "00313ee0,,,,,0",
        images=("stage_2_train_images/00313ee0.dcm",),
    )
    columns = {
        "path": "patientId",
        "label": "Target",
        "suffix": ".dcm",
        "images": str(Path(file).parent / "stage_2_train_images"),
    }

    images = read(file, **columns).images

    assert labels(images) == {"0004cfab.dcm": 0, "00436515.dcm": 1, "00313ee0.dcm": 0}
    assert [image.patient for image in images] == ["0004cfab", "00436515", "00313ee0"]


def test_images_of_one_name_in_several_folders_are_of_several_patients(write):
    file = write("path,label", "a/view.png,1", "b/view.png,0", images=("a/view.png",))

    assert [image.patient for image in read(file).images] == ["a/view", "b/view"]


def test_an_empty_patient_is_read_from_the_file_name_and_an_empty_column_name_uses_no_column(write):
    file = write(
        "path,label,patient,split,subtype",
        "person1_virus_1.png,1,A,anything,AP view",
        "IM-0001-0001.png,0,,else,PA view",
        images=("person1_virus_1.png",),
    )

    images = read(file, split="", subtype="").images
    assert [(image.patient, image.split, image.subtype) for image in images] == [
        ("A", "train", "virus"),
        ("IM-0001", "train", ""),
    ]
    images = read(file, patient="", split="", subtype="").images
    assert [image.patient for image in images] == ["person1", "IM-0001"]


WRONG = {
    "no such column": (["file,label", "1.png,1"], r"no column 'path', it has 'file', 'label'.*--table.path"),
    "empty file": ([""], "no column 'path', it has none"),
    "no rows": (["path,label"], "no rows"),
    "no path": (["path,label", "1.png,1", ",0"], "row 3: column 'path' is empty"),
    "cut off": (["path,label", "1.png,1", "2.png"], "row 3 has 1 cells, the header has 2 columns"),
    "contradiction": (
        ["path,label", "1.png,1", "2.png,0", "1.png,0"],
        "rows 2 and 4 contradict each other: the label of '1.png' is 'PNEUMONIA' and 'NORMAL'",
    ),
    "two splits": (
        ["path,label,split", "1.png,1,train", "1.png,1,test"],
        "rows 2 and 3 contradict each other: the split of '1.png' is 'train' and 'test'",
    ),
    "two patients": (
        ["path,label,patient", "1.png,1,a", "1.png,1,b"],
        "the patient of '1.png' is 'a' and 'b'",
    ),
    "unknown split": (
        ["path,label,split", "1.png,1,train", "2.png,0,holdout"],
        "row 3: column 'split' is 'holdout', expected one of train, val, test",
    ),
    "no split": (["path,label,split", "1.png,1,"], "row 2: column 'split' is ''"),
    "unknown subtype": (
        ["path,label,subtype", "1.png,1,AP"],
        "row 2: column 'subtype' is 'AP'.*bacteria, virus",
    ),
    "one class": (
        ["path,label", "1.png,yes", "2.png,no"],
        "all images are NORMAL.*'yes', 'no'.*--table.positive",
    ),
    "no training": (["path,label,split", "1.png,1,val", "2.png,0,val"], "no training images"),
    "one class in a split": (
        ["path,label,split", "1.png,1,train", "2.png,0,train", "3.png,0,val"],
        "no image in val/PNEUMONIA",
    ),
    "no files": (["path,label", "8.png,1", "9.png,0"], "none of the 2 images.*8.png.*--table.images"),
    "no paths at all": (["path,label", f"{'long ' * 999},1", "b,0"], "none of the 2 images"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_table_is_refused_in_one_line(write, case):
    (header, *rows), complaint = WRONG[case]
    file = write(header, *rows, images=("1.png", "2.png", "3.png"))

    with pytest.raises(UserError, match=complaint) as refusal:
        read(file)
    assert "table.csv" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("field", ["label", "patient", "split", "subtype"])
def test_a_column_that_is_named_must_exist(write, field):
    file = write("path,label", "1.png,1", images=("1.png",))

    with pytest.raises(UserError, match=f"no column 'Age'.*--table.{field}"):
        read(file, **{field: "Age"})


def test_the_columns_are_a_command_line():
    columns = command.parse(
        TableOptions, "test", ["--path", "Image Index", "--positive", "a", "b", "--split", ""]
    )

    assert columns == TableOptions(path="Image Index", positive=("a", "b"), split="")
    for wrong in ({"path": ""}, {"label": ""}, {"positive": ()}, {"positive": (" ",)}):
        with pytest.raises(ValueError, match="Received"):
            TableOptions(**wrong)
