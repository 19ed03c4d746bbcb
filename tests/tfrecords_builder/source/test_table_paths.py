import os

import pytest

from tests.tfrecords_builder.source.tables import read
from tfrecords_builder.building.build import build
from tfrecords_builder.building.settings import BuildConfig
from tfrecords_builder.errors import UserError
from tfrecords_builder.preprocessing import Preprocessing
from tfrecords_builder.source.settings import SourceOptions, TableOptions


def sources(found) -> list[str]:
    return [image.source for image in found.images]


def test_absolute_paths_in_the_folder_become_relative_and_others_stay(write, tmp_path):
    folder = tmp_path / "data"
    elsewhere = tmp_path / "elsewhere/3.png"
    file = write(
        "path,label", f"{folder}/1.png,1", f"{folder}/deep/2.png,0", f"{elsewhere},1", "4.png,0",
        images=("data/1.png", "data/deep/2.png", "elsewhere/3.png", "data/4.png"),
    )  # fmt: skip

    found = read(file, images=str(folder))

    assert sources(found) == ["1.png", "deep/2.png", str(elsewhere), "4.png"]
    assert found.folder == str(folder)


def test_absolute_paths_through_links_become_relative_too(write, tmp_path):
    file = write(
        "path,label",
        f"{tmp_path}/link/1.png,1",
        f"{tmp_path}/data/2.png,0",
        images=("data/1.png", "data/2.png"),
    )
    (tmp_path / "link").symlink_to(tmp_path / "data")

    assert sources(read(file, images=str(tmp_path / "data"))) == ["1.png", "2.png"]
    assert sources(read(file, images=str(tmp_path / "link"))) == ["1.png", "2.png"]


def test_images_of_absolute_paths_are_built(source, tmp_path):
    paths = sorted(source.rglob("*.jpeg"))
    rows = [f"{path},{path.parent.name}" for path in paths]
    (tmp_path / "table.csv").write_text("\n".join(["path,label", *rows]))

    content = build(
        BuildConfig(
            str(tmp_path / "table.csv"), str(tmp_path / "records"), Preprocessing(16, 0.1), val_fraction=0.2,
            test_fraction=0.2,
        )
    )  # fmt: skip

    assert sum(split.records for split in content.splits.values()) == len(paths)
    assert content.left_out == ()


@pytest.mark.parametrize("written", ["./1.png", "a//b/../1.png", "deep/../1.png", "./deep/..//1.png"])
def test_one_file_has_one_path_however_it_is_written(write, written):
    file = write(
        "path,label", "1.png,1", f"{written},0", "2.png,0", images=("1.png", "2.png", "deep/x", "a/b/x")
    )

    if ".." in written:  # a link could lead elsewhere
        assert sources(read(file)) == ["1.png", written, "2.png"]
    else:
        with pytest.raises(UserError, match=r"rows 2 and 3 contradict each other: the label of '1.png'"):
            read(file)


def test_images_in_subfolders_are_found_by_name(write, tmp_path):
    images = ("images_001/images/1.png", "images_002/images/2.png", "images_002/images/3.png", "4.png")
    rows = ("1.png,Pneumonia", "2.png,No Finding", "images/3.png,No Finding", "4.png,Pneumonia")
    file = write("Image Index,Finding Labels", *rows, images=images)

    found = read(file, path="Image Index", label="Finding Labels", positive=("Pneumonia",))

    assert sources(found) == list(images)
    assert found.images[0].patient == "images_001/images/1"


def test_a_name_that_several_files_have_is_refused(write):
    file = write("path,label", "1.png,1", "b/1.png,1", "2.png,0", images=("a/1.png", "b/1.png", "2.png"))

    with pytest.raises(
        UserError, match=r"no '1.png' in .*several files below it end so: 'a/1.png', 'b/1.png'"
    ) as refusal:
        read(file)
    assert "--table.images" in str(refusal.value)


def test_an_image_of_the_same_name_in_another_folder_is_no_substitute(write):
    """patient2/view.png is missing: the view of patient 1 must not become its image."""
    file = write("path,label", "patient1/view.png,1", "patient2/view.png,0", images=("patient1/view.png",))

    assert sources(read(file)) == ["patient1/view.png", "patient2/view.png"]


def test_backslashes_of_windows_are_read(write):
    file = write("path,label", r"a\1.png,1", r".\a\2.png,0", images=("a/1.png", "a/2.png"))

    assert sources(read(file)) == ["a/1.png", "a/2.png"]


def test_links_in_the_folder_of_images_are_followed_once(write, tmp_path):
    file = write("path,label", "1.png,1", "2.png,0", images=("store/1.png", "store/2.png"))
    (tmp_path / "link").symlink_to(tmp_path / "store")
    (tmp_path / "store/loop").symlink_to(tmp_path)

    assert sources(read(file)) == ["store/1.png", "store/2.png"]


def test_a_suffix_that_is_there_is_not_added_again(write):
    file = write("path,label", "1.dcm,1", "2,0", images=("1.dcm", "2.dcm"))

    assert sources(read(file, suffix=".dcm")) == ["1.dcm", "2.dcm"]


def test_a_table_none_of_whose_files_exists_is_refused(write, tmp_path):
    file = write("path,label", "/nowhere/8.png,1", "9.png,0")

    with pytest.raises(
        UserError, match=r"none of the 2 images .*'/nowhere/8.png'.*--table.images.*--table.suffix"
    ):
        read(file)
    with pytest.raises(UserError, match="none of the 2 images"):
        read(file, images=str(tmp_path / "missing"))


@pytest.mark.parametrize(
    "path", [".", "..", "/", "./", ".png", "a" * 5000, "~/1.png", "C:\\1.png", "http://a/1.png"]
)
def test_any_text_may_be_a_path(write, path):
    file = write("path,label", "1.png,1", f"{path},0", images=("1.png",))

    assert len(read(file).images) == 2


def test_a_path_with_a_zero_byte_is_refused(write):
    file = write("path,label", "1.png,1", *["1.png,1"] * 2000, "1\0.png,0", images=("1.png",))

    with pytest.raises(UserError, match=r"row 2003: column 'path' is '1\\x00.png', expected the path"):
        read(file)


def test_paths_that_are_no_files_are_left_to_the_decoder(write, tmp_path):
    file = write(
        "path,label", "1.png,1", "pipe.png,0", f"{'long ' * 999},0", "folder.png,1", images=("1.png",)
    )
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()

    assert len(sources(read(file))) == 4


def test_the_options_are_kept_in_dataset_json(source, tmp_path):
    (tmp_path / "t.csv").write_text(
        "\n".join(["path,label", *(f"{path},{path.parent.name}" for path in source.rglob("*.jpeg"))])
    )
    reading = SourceOptions(TableOptions(images=str(tmp_path), leave_out=("-1",)), patient_digest=True)

    content = build(
        BuildConfig(str(tmp_path / "t.csv"), str(tmp_path / "r"), Preprocessing(16, 0.1), reading)
    )

    assert content.arguments["table"]["leave_out"] == ["-1"]
    assert "images" not in content.arguments["table"]
    assert content.arguments["patient_digest"] is True
