import base64
import io
import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.tfrecords_builder.audit.sources import first, gray
from tfrecords_builder.audit import report, tables
from tfrecords_builder.errors import UserError


def test_a_source_without_readable_images_gets_a_report(audited, folder, tmp_path):
    for path in folder.rglob("*.jpeg"):
        path.write_bytes(b"damaged")

    found = audited()

    assert len(found.unreadable) == sum(
        c.images for classes in found.counts.values() for c in classes.values()
    )
    assert found.shortcuts[0].auc is None
    assert (tmp_path / "audit/audit.html").is_file()


def test_the_same_report_for_any_number_of_workers(audited, folder, tmp_path):
    shutil.copy(first(folder, "train/NORMAL"), folder / "test/NORMAL/copy.jpeg")

    for workers in (1, 3):
        audited(workers=workers, output=str(tmp_path / str(workers)))

    for name in ("audit.json", "audit.html"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_the_json_lists_all_groups_with_their_splits_classes_and_patients(audited, folder, tmp_path):
    original = first(folder, "train/NORMAL")
    for number in range(3):
        shutil.copy(original, folder / f"test/PNEUMONIA/person{7000 + number}_virus_1.jpeg")

    audited(shown=0)

    content = json.loads((tmp_path / "audit/audit.json").read_text())
    (group,) = content["identical"]
    assert group["splits"] == ["train", "test"]
    assert group["class_names"] == content["class_names"] == ["NORMAL", "PNEUMONIA"]
    assert len(group["patients"]) == len(group["images"]) == 4
    assert [image["label"] for image in group["images"]].count(1) == 3
    assert content["counts"]["test"]["PNEUMONIA"]["images"] == 7


class Page(HTMLParser):
    """Pictures, tags and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text = " ".join(f"{self.text} {data}".split())

    @property
    def pictures(self) -> dict[str, str]:
        return {attributes["alt"]: attributes["src"] for tag, attributes in self.tags if tag == "img"}


def test_the_page_contains_its_pictures_and_loads_nothing(audited, folder, tmp_path):
    original = first(folder, "train/NORMAL")
    wide = cv2.resize(gray(original), (600, 200))
    for name in ("train/NORMAL/wide.png", "test/PNEUMONIA/wide too.png"):
        cv2.imwrite(str(folder / name), wide)
    (folder / "train/NORMAL/damaged.png").write_bytes(b"")

    audited(near_distance=0)

    page = Page(tmp_path / "audit/audit.html")
    assert page.pictures.keys() == {"train/NORMAL/wide.png", "test/PNEUMONIA/wide too.png"}
    for url in page.pictures.values():
        header, _, encoded = url.partition(",")
        assert header == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as thumbnail:
            assert (thumbnail.format, thumbnail.size) == ("PNG", (128, 43))
    assert "no picture" in page.text
    assert "research tool, not a medical device" in page.text
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert "http" not in re.sub(r"base64,[^\"]*", "", (tmp_path / "audit/audit.html").read_text())


def test_the_page_shows_a_limited_number_of_findings_and_their_total(audited, folder, tmp_path):
    for number in range(5):
        (folder / f"train/NORMAL/broken{number}.png").write_bytes(b"")
        pixels = np.full((80, 90), 40 * number, np.uint8)
        for copy in range(8):
            cv2.imwrite(str(folder / f"train/NORMAL/blank{number}-{copy}.png"), pixels)

    audited(shown=2)

    page = Page(tmp_path / "audit/audit.html")
    assert "Unreadable: 5" in page.text
    assert "The first 2 of 5 are shown" in page.text
    assert "Number of groups: 5, with 40 images" in page.text
    assert "The first 2 of 5 groups are shown" in page.text
    assert "8 images in train, NORMAL, of 8 patients; 6 of them are shown" in page.text
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 2 * 6 + 2


def test_the_pictures_of_a_group_come_from_all_its_splits(audited, folder):
    shutil.rmtree(folder / "val")
    for split, copies in (("train", 9), ("test", 2)):
        for number in range(copies):
            shutil.copy(first(folder, "train/NORMAL"), folder / split / f"NORMAL/copy{number}.jpeg")

    (group,) = audited().identical.groups

    shown = report.representatives(group)
    assert [image.split for image in shown] == ["train", "test", "train", "test", "train", "train"]
    assert len(set(shown)) == 6


def test_file_names_cannot_add_tags_to_the_page(audited, folder, tmp_path):
    hostile = '<img src=x onerror="alert(1)">&.jpeg'
    shutil.copy(first(folder, "train/NORMAL"), folder / "train/NORMAL" / hostile)

    audited()

    page = Page(tmp_path / "audit/audit.html")
    assert f"train/NORMAL/{hostile}" in page.pictures
    assert not any("onerror" in attributes for _, attributes in page.tags)


def test_file_names_need_not_be_utf_8(audited, folder, tmp_path):
    name = os.fsdecode(b"\xff\xfe.jpeg")
    try:
        shutil.copy(first(folder, "train/NORMAL"), folder / "train/NORMAL" / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")

    audited()

    assert "train/NORMAL/\\udcff\\udcfe.jpeg" in Page(tmp_path / "audit/audit.html").pictures
    groups = json.loads((tmp_path / "audit/audit.json").read_text())["identical"]
    assert f"train/NORMAL/{name}" in {image["source"] for image in groups[0]["images"]}


def test_a_report_that_cannot_be_written_leaves_no_temporary_file(audited, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="/file' is a file"):
        audited(output=str(tmp_path / "file"))

    (tmp_path / "audit/audit.html").mkdir(parents=True)
    with pytest.raises(UserError, match=r"audit\.html"):
        audited()
    assert {path.name for path in (tmp_path / "audit").iterdir()} == {"audit.html", "audit.json"}


@pytest.mark.parametrize(
    ("moved", "certain"), [("person1_bacteria_99.jpeg", 1), ("person1_virus_99.jpeg", 0)]
)
def test_patients_who_are_certainly_one_child_are_counted_separately(
    audited, folder, tmp_path, moved, certain
):
    first(folder, "test/PNEUMONIA").rename(folder / "test/PNEUMONIA" / moved)

    (note,) = tables.notes(audited())

    assert f"Of 1 patients in several splits, {certain} are certainly one child each" in note
    page = Page(tmp_path / "audit/audit.html")
    assert f"train and test 1 {certain} 2 in train, 1 in test" in page.text


def test_a_folder_with_other_files_is_refused_before_anything_is_written(audited, tmp_path):
    for name in ("notes.txt", "audit.html"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text("mine")

        with pytest.raises(UserError, match=f"holds '{re.escape(name)}', which does not belong to"):
            audited(output=str(folder))
        assert [(path.name, path.read_text()) for path in folder.iterdir()] == [(name, "mine")]


def test_a_report_replaces_the_one_before(audited, tmp_path):
    audited()
    audited(shown=1)

    assert {path.name for path in (tmp_path / "audit").iterdir()} == {"audit.html", "audit.json"}
