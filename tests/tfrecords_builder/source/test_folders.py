import shutil

import pytest

from tfrecords_builder.errors import UserError
from tfrecords_builder.source.folders import find_images


def test_folders_say_split_and_class(source):
    images = find_images(str(source))

    counts = {
        (s, label): sum((i.split, i.label) == (s, label) for i in images)
        for s in ("train", "val", "test")
        for label in (0, 1)
    }
    assert counts == {
        ("train", 0): 12,
        ("train", 1): 12,
        ("val", 0): 3,
        ("val", 1): 3,
        ("test", 0): 4,
        ("test", 1): 4,
    }
    assert all((source / image.source).is_file() for image in images)


def test_the_folder_that_the_kaggle_archive_unpacks_to(source, tmp_path):
    nested = tmp_path / "archive" / "chest_xray" / "chest_xray"
    shutil.copytree(source, nested)
    for clutter in (
        "__MACOSX/chest_xray/train/NORMAL/._IM-0001-0001.jpeg",
        ".DS_Store",
        "chest_xray/train/.DS_Store",
    ):
        path = tmp_path / "archive" / "chest_xray" / clutter
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"clutter")
    (nested / "train" / "NORMAL" / "._IM-0001-0001.jpeg").write_bytes(b"clutter")
    (nested / "train" / "NORMAL" / "notes.txt").write_text("clutter")

    found = find_images(str(tmp_path / "archive"))

    expected = {f"chest_xray/chest_xray/{image.source}" for image in find_images(str(source))}
    assert {image.source for image in found} == expected


def test_dicom_and_folders_of_patients_are_found(tmp_path):
    for name in (
        "NORMAL/patient1/study1/view.dcm",
        "NORMAL/patient1/study2/view.DCM",
        "NORMAL/patient2/view.png",
        "PNEUMONIA/a/view.dicom",
        "PNEUMONIA/b/view.jpg",
    ):
        (tmp_path / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "train" / name).touch()

    found = find_images(str(tmp_path))

    assert [image.patient for image in found] == ["patient1", "patient1", "patient2", "a/view", "b/view"]


def test_an_unusable_folder_is_refused_by_name(source, tmp_path):
    with pytest.raises(UserError, match="no folder"):
        find_images(str(tmp_path / "missing"))
    with pytest.raises(UserError, match="none of the folders"):
        find_images(str(tmp_path))
    (tmp_path / "train" / "NORMAL").mkdir(parents=True)
    with pytest.raises(UserError, match="no images"):
        find_images(str(tmp_path))
    shutil.copytree(source / "train" / "NORMAL", tmp_path / "train" / "NORMAL", dirs_exist_ok=True)
    with pytest.raises(UserError, match="no image in train/PNEUMONIA"):
        find_images(str(tmp_path))
