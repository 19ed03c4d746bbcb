"""Several readers of one image, in several rows or in several columns."""

import pytest

from tests.tfrecords_builder.source.tables import read
from tfrecords_builder.errors import UserError

ROWS = (
    "a.png,1",
    "b.png,0",
    "a.png,0",
    "b.png,0",
    "a.png,1",
    "c.png,1",
    "c.png,0",
    "d.png,0",
    "d.png,0",
    "d.png,1",
)
IMAGES = ("a.png", "b.png", "c.png", "d.png")


def labels(found) -> dict[str, int]:
    return {image.source: image.label for image in found.images}


def test_readers_who_contradict_each_other_are_refused_with_the_options(write):
    file = write("path,label", *ROWS, images=IMAGES)

    with pytest.raises(
        UserError, match=r"rows 2 and 4 contradict each other: the label of 'a.png'"
    ) as refusal:
        read(file)
    assert "--table.readers any-positive or majority" in str(refusal.value)


def test_one_positive_reader_or_the_majority_decides(write):
    file = write("path,label", *ROWS, images=IMAGES)

    assert labels(read(file, readers="any-positive")) == {"a.png": 1, "b.png": 0, "c.png": 1, "d.png": 1}
    assert labels(read(file, readers="majority")) == {"a.png": 1, "b.png": 0, "c.png": 1, "d.png": 0}


def test_readers_in_several_columns(write):
    file = write("path,r1,r2,r3", "a.png,1,0,1", "b.png,0,0,1", "c.png,,-1,1", "d.png,-1,0,", images=IMAGES)
    columns = {"label": "r1", "more_labels": ("r2", "r3"), "leave_out": ("-1", "")}

    found = read(file, **columns, readers="majority")

    assert labels(found) == {"a.png": 1, "b.png": 0, "c.png": 1, "d.png": 0}
    assert found.notes[0].startswith(
        "labels of columns 'r1', 'r2', 'r3' and their rows - PNEUMONIA: '1' (4); "
    )
    assert labels(read(file, **columns, readers="any-positive")) == {
        "a.png": 1,
        "b.png": 1,
        "c.png": 1,
        "d.png": 0,
    }
    with pytest.raises(
        UserError, match=r"row 2 contradicts itself: the label of 'a.png' is 'PNEUMONIA' and 'NORMAL'"
    ):
        read(file, **columns)
    with pytest.raises(UserError, match=r"no column 'r4'.*--table.more-labels"):
        read(file, label="r1", more_labels=("r4",))


def test_readers_may_not_contradict_each_other_in_the_patient(write):
    file = write("path,label,patient", "a.png,1,P1", "a.png,0,P2", "b.png,0,", images=IMAGES)

    with pytest.raises(UserError, match=r"the patient of 'a.png' is 'P1' and 'P2'"):
        read(file, readers="majority")


def test_what_one_row_leaves_empty_another_says(write):
    rows = ("a.png,1,P1,virus", "a.png,0,,", "b.png,0,P2,virus", "b.png,0,P2,", "b.png,1,,")
    file = write("path,label,patient,subtype", *rows, images=IMAGES)

    found = read(file, readers="majority")

    assert [(image.label, image.patient, image.subtype) for image in found.images] == [
        (1, "P1", "virus"), (0, "P2", ""),
    ]  # fmt: skip
