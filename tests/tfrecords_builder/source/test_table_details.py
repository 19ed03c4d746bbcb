"""Columns of a table that are kept, and boxes of lesions."""

import pytest

from tests.tfrecords_builder.source.tables import read
from tfrecords_builder.errors import UserError
from tfrecords_builder.source.images import Details

RSNA = {"path": "patientId", "label": "Target", "suffix": ".dcm", "box": ("x", "y", "width", "height")}


def test_kept_columns_come_in_the_order_of_the_option(write):
    file = write("path,label,sex,age,view", "1.png,1,F,54,PA", "2.png,0,,81,AP", images=("1.png", "2.png"))

    images = read(file, keep=("age", "sex")).images

    assert [image.details for image in images] == [
        Details((("age", "54"), ("sex", "F"))),
        Details((("age", "81"), ("sex", ""))),
    ]


def test_every_row_of_rsnas_table_is_a_box_of_its_image(write):
    file = write(
        "patientId,x,y,width,height,Target",
        "a,264.0,152.0,213.0,379.0,1",
        "b,,,,,0",
        "a,562.0,152.0,256.0,453.0,1",
        images=("a.dcm", "b.dcm"),
    )

    boxes = {image.source: image.details.boxes for image in read(file, **RSNA).images}

    assert boxes == {"a.dcm": ((264, 152, 213, 379), (562, 152, 256, 453)), "b.dcm": ()}


def test_without_the_options_nothing_is_kept(write):
    file = write("path,label,sex,x", "1.png,1,F,3", "2.png,0,M,4", images=("1.png", "2.png"))

    assert {image.details for image in read(file).images} == {Details()}


@pytest.mark.parametrize("cells", ["1,2,3,", "1,2,3,many", "1,2,0,4", "1,2,3,-4", "nan,2,3,4", "inf,2,3,4"])
def test_cells_that_are_no_box_are_refused_with_their_row(write, cells):
    file = write("path,label,x,y,w,h", f"1.png,1,{cells}", "2.png,0,,,,", images=("1.png", "2.png"))

    with pytest.raises(UserError, match=r"row 2: columns 'x', 'y', 'w', 'h' are .* expected left, top"):
        read(file, box=("x", "y", "w", "h"))


def test_rows_that_contradict_each_other_are_refused(write):
    file = write("path,label,age", "1.png,1,54", "1.png,1,55", "2.png,0,3", images=("1.png", "2.png"))

    with pytest.raises(UserError, match=r"rows 2 and 3 contradict .* the age of '1.png' is '54' and '55'"):
        read(file, keep=("age",))


@pytest.mark.parametrize(("option", "columns"), [("keep", ("place",)), ("box", ("x", "y", "w", "place"))])
def test_a_column_that_is_missing_is_named_with_its_option(write, option, columns):
    file = write("path,label,x,y,w", "1.png,1,1,1,1", "2.png,0,1,1,1", images=("1.png", "2.png"))

    with pytest.raises(UserError, match=f"no column 'place'.*--table.{option}$"):
        read(file, **{option: columns})


def test_a_box_needs_four_columns(write):
    with pytest.raises(ValueError, match="box must name four columns"):
        read(write("path,label", "1.png,1"), box=("x", "y"))
