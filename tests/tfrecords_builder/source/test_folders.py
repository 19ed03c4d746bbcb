import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.tfrecords_builder.image_files import as_file
from tfrecords_builder.errors import UserError
from tfrecords_builder.source.find import find_source_images
from tfrecords_builder.source.settings import SourceOptions


def test_folders_say_split_and_class(source):
    images = find_source_images(str(source)).images

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

    found = find_source_images(str(tmp_path / "archive")).images

    expected = {f"chest_xray/chest_xray/{image.source}" for image in find_source_images(str(source)).images}
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

    found = find_source_images(str(tmp_path)).images

    assert [image.patient for image in found] == ["patient1", "patient1", "patient2", "a/view", "b/view"]


def test_an_unusable_folder_is_refused_by_name(source, tmp_path):
    with pytest.raises(UserError, match="no folder"):
        find_source_images(str(tmp_path / "missing"))
    with pytest.raises(UserError, match="none of the folders"):
        find_source_images(str(tmp_path))
    (tmp_path / "train" / "NORMAL").mkdir(parents=True)
    with pytest.raises(UserError, match="no images"):
        find_source_images(str(tmp_path))
    shutil.copytree(source / "train" / "NORMAL", tmp_path / "train" / "NORMAL", dirs_exist_ok=True)
    with pytest.raises(UserError, match="no image in train/PNEUMONIA"):
        find_source_images(str(tmp_path))


@pytest.fixture
def folder(tmp_path) -> Path:
    """A chest_xray/ with two small images of each class in `train`."""
    for number in (1, 2):
        normal, pneumonia = f"NORMAL/IM-000{number}-0001.jpeg", f"PNEUMONIA/person{number}_virus_1.jpeg"
        add(tmp_path / "chest_xray/train", **{normal: JPEG, pneumonia: JPEG})
    return tmp_path / "chest_xray"


JPEG, PNG = as_file(Image.new("L", (8, 8)), "JPEG"), as_file(Image.new("L", (8, 8)), "PNG")
TIFF, WEBP = as_file(Image.new("L", (8, 8)), "TIFF"), as_file(Image.new("L", (8, 8)), "WEBP")
DICOM = bytes(128) + b"DICM"


def add(folder: Path, **files: bytes) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def sources(found) -> list[str]:
    return [image.source for image in found.images]


def passed_over(found) -> str:
    """The one line that says it."""
    lines = [note for note in found.notes if note.startswith("files passed over")]
    assert len(lines) == bool(lines)
    return lines[0] if lines else ""


def test_images_are_recognized_by_their_first_bytes_whatever_their_names(folder):
    files = {
        "a.tif": JPEG,
        "b.jfif": JPEG,
        "c": PNG,
        "IM000001": DICOM,
        "d.JPG.bak": JPEG,
        "1.2.840.1": DICOM,
    }
    add(folder / "train/NORMAL", **files)

    found = find_source_images(str(folder), SourceOptions(dicom_patient_id=False))

    assert {f"train/NORMAL/{name}" for name in files} <= set(sources(found))
    assert passed_over(found) == ""


def test_files_that_are_named_like_images_are_found_whatever_they_hold(folder):
    add(folder / "train/NORMAL", **{"damaged.jpeg": b"", "notes.png": b"text", "x.DCM": b"text"})

    assert len(sources(find_source_images(str(folder)))) == 7


def test_what_is_passed_over_is_said_in_one_line(folder):
    odd = {"1.tif": TIFF, "2.tiff": TIFF, "3.webp": WEBP, "note.txt": b"note", "README": b"note"}
    add(folder / "train/NORMAL", **odd, **{".a.jpeg": JPEG, "DICOMDIR": DICOM, "x.nii.gz": b"note"})
    add(folder, **{"holdout/deep/1.jpeg": JPEG, "train/COVID19/1.jpeg": JPEG, "train/COVID19/2.jpeg": JPEG})

    found = find_source_images(str(folder))

    assert len(found.images) == 4
    line = passed_over(found)
    assert line.startswith(
        "files passed over: 11; files in other folders: 3 (first 'holdout'), "
        "TIFF: 2 (first 'train/NORMAL/1.tif'), "
    )
    assert line.endswith(", 2 more kinds: 2")
    assert "\n" not in line


KINDS = {
    "train/NORMAL/a.webp": (WEBP, "WebP"),
    "train/NORMAL/a.txt": (b"note", ".txt"),
    "train/NORMAL/a": (b"note", "files without a suffix"),
    "train/NORMAL/.a.jpeg": (JPEG, "hidden images"),
    "train/NORMAL/dicomdir": (DICOM, "DICOMDIR"),
    "train/a.jpeg": (JPEG, "JPEG outside the folders of classes"),
    "a.tif": (TIFF, "TIFF outside the folders of classes"),
    "train/COVID19/a.txt": (b"note", "files in other folders"),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_that_is_passed_over_has_a_name(folder, name):
    content, kind = KINDS[name]
    add(folder, **{name: content})

    first = "train/COVID19" if "COVID19" in name else name
    assert passed_over(find_source_images(str(folder))) == (
        f"files passed over: 1; {kind}: 1 (first {first!r})"
    )


def test_broken_links_are_passed_over_unless_they_are_named_like_images(folder):
    for name in ("nowhere", "nowhere.jpeg"):
        (folder / "train/NORMAL" / name).symlink_to("missing")

    found = find_source_images(str(folder))

    assert "train/NORMAL/nowhere.jpeg" in sources(found)
    assert passed_over(found) == "files passed over: 1; broken links: 1 (first 'train/NORMAL/nowhere')"


@pytest.mark.parametrize(
    "clutter",
    [
        ".DS_Store",
        "train/.DS_Store",
        "train/NORMAL/._IM-0001-0001.jpeg",
        "README.md",
        "__MACOSX/._1.jpeg",
        "train/NORMAL/Thumbs.db",
    ],
)
def test_what_systems_add_is_no_news(folder, clutter):
    add(folder, **{clutter: b"clutter"})

    assert passed_over(find_source_images(str(folder))) == ""


def test_a_source_that_lacks_a_class_is_refused_with_what_was_passed_over(folder):
    for path in (folder / "train/NORMAL").iterdir():
        path.write_bytes(TIFF)
        path.rename(path.with_suffix(".tif"))

    with pytest.raises(
        UserError, match=r"no image in train/NORMAL: .*TIFF: 2 \(first 'train/NORMAL/IM-0001"
    ) as refusal:
        find_source_images(str(folder))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "names", [("Train", "normal", "Pneumonia"), ("TRAIN", "Normal", "pneumonia"), ("training",)]
)
def test_splits_and_classes_are_named_in_any_case(folder, names):
    split, normal, pneumonia = (*names, "NORMAL", "PNEUMONIA")[:3]
    (folder / "train").rename(folder / "renamed")
    (folder / "renamed/NORMAL").rename(folder / f"renamed/{normal}")
    (folder / "renamed/PNEUMONIA").rename(folder / f"renamed/{pneumonia}")
    (folder / "renamed").rename(folder / split)
    shutil.copytree(folder / split, folder / "validation")
    shutil.copytree(folder / split, folder / "TEST")

    images = find_source_images(str(folder)).images

    assert sorted({(image.split, image.label) for image in images}) == [
        ("test", 0), ("test", 1), ("train", 0), ("train", 1), ("val", 0), ("val", 1),
    ]  # fmt: skip


def test_folders_that_are_one_split_or_class_are_read_together_and_named(folder):
    add(folder, **{"Train/normal/IM-0003-0001.jpeg": JPEG, "train/Normal/IM-0004-0001.jpeg": JPEG})

    found = find_source_images(str(folder))

    assert len(found.images) == 6
    assert found.notes[:1] == [
        "folders read as one: 'Train/normal', 'train/NORMAL' and 'train/Normal' are train/NORMAL"
    ]


def test_links_to_files_and_folders_are_followed(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    add(elsewhere, **{"1.jpeg": JPEG, "deep/2": PNG})
    (folder / "train/NORMAL/more").symlink_to(elsewhere)
    add(tmp_path, **{"3.jpeg": JPEG})
    (folder / "train/NORMAL/3.jpeg").symlink_to(tmp_path / "3.jpeg")
    (folder / "test").symlink_to(shutil.copytree(folder / "train", tmp_path / "copy"))

    found = find_source_images(str(folder))

    assert {"train/NORMAL/more/1.jpeg", "train/NORMAL/more/deep/2", "train/NORMAL/3.jpeg"} < set(
        sources(found)
    )
    assert len([image for image in found.images if image.split == "test"]) == 4 + 3
    assert passed_over(found) == ""


def test_links_in_a_circle_end(folder, tmp_path):
    normal = folder / "train/NORMAL"
    before = sources(find_source_images(str(folder)))
    for name, target in {
        "self": ".",
        "up": "..",
        "root": "../..",
        "over": "../../..",
        "all": "/",
        "me": "me",
    }.items():
        (normal / name).symlink_to(target)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").symlink_to(tmp_path / "b")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/a").symlink_to(tmp_path / "a")
    (normal / "a").symlink_to(tmp_path / "a")
    (normal / "b").symlink_to(tmp_path / "b")

    found = find_source_images(str(folder))

    assert sources(found) == before
    assert "links to what is read already: 7 (first 'train/NORMAL/all')" in passed_over(found)


def test_a_file_that_links_repeat_is_read_once_under_its_own_path(folder, tmp_path):
    normal = folder / "train/NORMAL"
    before = sources(find_source_images(str(folder)))
    (normal / "A copy.jpeg").symlink_to("IM-0001-0001.jpeg")
    (normal / "again").symlink_to(".")
    (folder / "train/Normal").symlink_to("NORMAL")

    found = find_source_images(str(folder))

    assert sources(found) == before
    assert "links to what is read already: 6" in passed_over(found)


@pytest.mark.parametrize("place", ["train/PNEUMONIA", "test/NORMAL"])
def test_a_file_in_two_splits_or_classes_by_links_is_refused(folder, place):
    (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / place / "link.jpeg").symlink_to(folder / "train/NORMAL/IM-0001-0001.jpeg")

    with pytest.raises(UserError, match=f"'{place}/link.jpeg' .*are one file, as one of them is a link"):
        find_source_images(str(folder))


def test_copies_are_images_of_their_own(folder):
    shutil.copy(folder / "train/NORMAL/IM-0001-0001.jpeg", folder / "train/NORMAL/IM-0009-0001.jpeg")
    (folder / "train/NORMAL/IM-0010-0001.jpeg").hardlink_to(folder / "train/NORMAL/IM-0001-0001.jpeg")

    assert len(find_source_images(str(folder)).images) == 6


def test_a_pipe_is_never_opened(folder):
    os.mkfifo(folder / "train/NORMAL/pipe")
    os.mkfifo(folder / "train/NORMAL/pipe.jpeg")

    found = find_source_images(str(folder))

    assert "train/NORMAL/pipe.jpeg" in sources(found)
    assert "files without a suffix: 1 (first 'train/NORMAL/pipe')" in passed_over(found)


def test_a_folder_named_like_an_image_is_searched(folder):
    add(folder, **{"train/NORMAL/scan.jpeg/scan.jpeg": JPEG})
    (folder / "train/NORMAL/empty.jpeg").mkdir()

    assert sources(find_source_images(str(folder)))[2:4] == [
        "train/NORMAL/empty.jpeg",
        "train/NORMAL/scan.jpeg/scan.jpeg",
    ]


def test_a_folder_that_cannot_be_listed_is_named(folder, monkeypatch):
    listed = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    (folder / "train/NORMAL/locked").mkdir()
    monkeypatch.setattr(os, "scandir", refuse)

    with pytest.raises(UserError, match="NORMAL/locked' cannot be listed: Permission denied"):
        find_source_images(str(folder))


@pytest.mark.parametrize("name", ["labels.xlsx", "chest_xray.zip", "notes"])
def test_a_file_that_is_no_table_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")

    with pytest.raises(UserError, match=r"is a file: give a folder, or a table that ends in .csv, .tsv"):
        find_source_images(str(tmp_path / name))


def test_names_with_every_character_are_found(tmp_path):
    folder = tmp_path / "a [b] *?"
    for name in ("train/NORMAL/[a]*?.jpeg", "train/PNEUMONIA/new\nline \\ 'quote'.jpeg"):
        add(folder, **{name: JPEG})

    assert sources(find_source_images(str(folder))) == [
        "train/NORMAL/[a]*?.jpeg", "train/PNEUMONIA/new\nline \\ 'quote'.jpeg",
    ]  # fmt: skip
