import base64
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image
from scipy.stats import mannwhitneyu

from tfrecords_builder.audit import near_images, report, tables, titles
from tfrecords_builder.audit.__main__ import AuditConfig, audit
from tfrecords_builder.audit.measurements import corner_excess, perceptual_hash
from tfrecords_builder.audit.near_images import connected_groups, near_pairs
from tfrecords_builder.audit.odd_images import INVERTED_EXCESS
from tfrecords_builder.decoding import decode
from tfrecords_builder.errors import UserError
from tfrecords_builder.source.folders import find_images


@pytest.fixture
def folder(source, tmp_path) -> Path:
    """A chest_xray/ of its own, to put things into."""
    return Path(shutil.copytree(source, tmp_path / "chest_xray"))


@pytest.fixture
def audited(folder, tmp_path):
    """Audits `folder`; the report is in tmp_path / "audit"."""
    return lambda **changes: audit(AuditConfig(str(folder), **{"output": str(tmp_path / "audit")} | changes))


def first(folder: Path, place: str) -> Path:
    return min((folder / place).iterdir())


def gray(path: Path) -> np.ndarray:
    return np.array(Image.open(path).convert("L"))


def sources(group) -> set[str]:
    return {image.source for image in group.images}


def is_near(one: np.ndarray, other: np.ndarray) -> bool:
    bits = [np.unpackbits(np.frombuffer(perceptual_hash(pixels), np.uint8)) for pixels in (one, other)]
    return (bits[0] != bits[1]).sum() <= AuditConfig("source").near_distance


def test_a_clean_source_has_no_findings(audited):
    found = audited()

    for kind in titles.GROUP_TITLES:
        assert getattr(found, kind).groups == ()
    for kind in titles.ODD_TITLES:
        assert getattr(found, kind) == ()


def test_images_are_counted_by_split_class_subtype_and_patient(audited, folder):
    (folder / "train/PNEUMONIA/broken_name.png").write_bytes(b"no image, but a file")
    count = audited().counts["train"]["PNEUMONIA"]

    names = [path.name for path in (folder / "train/PNEUMONIA").iterdir()]
    patients = [name.split("_")[0] for name in names if name.startswith("person")]
    assert count.images == len(names) == 13
    assert count.subtypes == {kind: sum(kind in name for name in names) for kind in ("bacteria", "virus")}
    assert count.patients == len(set(patients)) + 1
    assert count.images_with_siblings == sum(patients.count(patient) > 1 for patient in patients) > 0
    assert count.images_of_patient["broken_name"] == 1


def test_patients_of_several_splits_are_found(audited, folder):
    picture = first(folder, "test/PNEUMONIA")
    picture.rename(folder / "test/PNEUMONIA/person1_bacteria_99.jpeg")

    (group,) = audited().shared_patients.groups

    assert group.what == "person1"
    assert group.splits == ("train", "test")
    assert sources(group) == {
        path.relative_to(folder).as_posix() for path in folder.rglob("person1_*") if path.is_file()
    }


@pytest.mark.parametrize(
    ("moved", "under_one_subtype"), [("person1_bacteria_99.jpeg", 1), ("person1_virus_99.jpeg", 0)]
)
def test_patients_shared_under_one_subtype_are_told_from_others(
    audited, folder, tmp_path, moved, under_one_subtype
):
    first(folder, "test/PNEUMONIA").rename(folder / "test/PNEUMONIA" / moved)

    (note,) = tables.notes(audited())

    assert f"Of 1 patients in several splits, {under_one_subtype} are there with the same subtype" in note
    page = Page(tmp_path / "audit/audit.html")
    assert f"train and test 1 {under_one_subtype} 2 in train, 1 in test" in page.text


def test_byte_identical_images_are_grouped_across_splits_classes_and_patients(audited, folder):
    original, other = first(folder, "train/NORMAL"), first(folder, "val/NORMAL")
    shutil.copy(original, folder / "train/NORMAL/IM-7001-0001.jpeg")
    shutil.copy(other, folder / "test/PNEUMONIA/person7002_virus_1.jpeg")

    found = audited()

    across, within = found.identical.groups  # leakage comes first
    assert sources(across) == {f"val/NORMAL/{other.name}", "test/PNEUMONIA/person7002_virus_1.jpeg"}
    assert sources(within) == {f"train/NORMAL/{original.name}", "train/NORMAL/IM-7001-0001.jpeg"}
    assert (across.splits, across.class_names) == (("val", "test"), ("NORMAL", "PNEUMONIA"))
    assert (within.splits, within.class_names) == (("train",), ("NORMAL",))
    assert (found.identical.across_splits, found.identical.across_classes) == (1, 1)
    assert (found.identical.across_patients, found.identical.images) == (2, 4)
    assert found.near.groups == ()


def test_altered_copies_are_near_identical(audited, folder):
    original = first(folder, "train/PNEUMONIA")
    altered = cv2.resize(cv2.add(gray(original), 15), None, fx=1.3, fy=1.3)
    copies = [folder / "val/PNEUMONIA/person7001_virus_1.jpeg", folder / "test/PNEUMONIA/again.jpeg"]
    cv2.imwrite(str(copies[0]), altered, [cv2.IMWRITE_JPEG_QUALITY, 60])
    shutil.copy(copies[0], copies[1])

    found = audited()

    (group,) = found.near.groups
    assert sources(group) == {path.relative_to(folder).as_posix() for path in (original, *copies)}
    assert group.splits == ("train", "val", "test")
    assert re.fullmatch(r"\d+ bits", group.what)
    assert int(group.what.split()[0]) <= 24
    (identical,) = found.identical.groups
    assert len(identical.images) == 2


def test_the_same_pixels_in_another_format_are_near_at_distance_zero(audited, folder):
    original = first(folder, "train/PNEUMONIA")
    Image.fromarray(gray(original)).save(folder / "train/PNEUMONIA/person1_bacteria_77.png")

    (group,) = audited(near_distance=0).near.groups

    assert group.what == "0 bits"
    assert len(group.images) == 2


def test_the_perceptual_hash_tells_altered_copies_from_other_children(real_xrays):
    paths = [real_xrays / image.source for image in find_images(str(real_xrays))[::80]]
    images = [decode(path.read_bytes()) for path in paths]

    for image in images:
        jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
        assert is_near(image, cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE))
        assert is_near(image, cv2.resize(image, (120, 150), interpolation=cv2.INTER_AREA))
        assert is_near(image, np.rint(255 * (image / 255) ** 1.3).astype(np.uint8))
    assert not any(is_near(one, other) for one, other in itertools.pairwise(images))


@pytest.mark.parametrize("block", [1, 7, 1024])
def test_near_pairs_are_those_that_imagehash_finds(block, monkeypatch):
    monkeypatch.setattr(near_images, "_HASHES_AT_ONCE", block)
    generator = np.random.default_rng(0)
    bits = np.repeat(generator.random((6, 256)) < 0.5, 5, axis=0) ^ (generator.random((30, 256)) < 0.06)
    expected = [
        (i, j, imagehash.ImageHash(bits[i]) - imagehash.ImageHash(bits[j]))
        for i in range(30)
        for j in range(i + 1, 30)
    ]
    expected = [pair for pair in expected if pair[2] <= 26]

    found = near_pairs(np.packbits(bits, axis=1), 26)

    assert 0 < len(expected) < 60  # of 60 pairs of the same origin
    assert sorted(map(tuple, found.tolist())) == expected


def test_groups_are_whatever_pairs_connect():
    pairs = np.array([[0, 4, 3], [4, 6, 9], [1, 2, 5]])

    assert sorted(connected_groups(pairs, 8)) == [([0, 4, 6], 9), ([1, 2], 5)]
    assert connected_groups(np.zeros((0, 3), np.int64), 0) == []


def test_odd_images_are_named(audited, folder):
    generator = np.random.default_rng(1)
    place = folder / "train/NORMAL"
    odd = {
        "unreadable": b"GIF89a, and then nothing",
        "tiny": gray(first(folder, "test/NORMAL"))[:, :63],
        "blank": np.rint(generator.normal(120, 1, (80, 90))).astype(np.uint8),
        "inverted": 255 - gray(first(folder, "val/NORMAL")),
    }
    for name, content in odd.items():
        encoded = content if isinstance(content, bytes) else cv2.imencode(".png", content)[1].tobytes()
        (place / f"{name}.png").write_bytes(encoded)

    found = audited()

    for kind in odd:
        assert [image.image.source for image in getattr(found, kind)] == [f"train/NORMAL/{kind}.png"]
    assert "GIF" in found.unreadable[0].why
    assert found.tiny[0].why == f"63x{odd['tiny'].shape[0]} pixels"


def test_blank_images_are_not_near_one_another(audited, folder):
    for level in (0, 100, 255):
        cv2.imwrite(str(folder / f"train/NORMAL/{level}.png"), np.full((80, 90), level, np.uint8))

    found = audited()

    assert len(found.blank) == 3
    assert found.near.groups == found.inverted == ()


def test_negatives_of_real_x_rays_seem_inverted_and_they_themselves_do_not(real_xrays, original_xrays):
    paths = [real_xrays / image.source for image in find_images(str(real_xrays))[::40]]
    paths += sorted(original_xrays.rglob("*.png"))

    excesses = [(corner_excess(image), corner_excess(255 - image)) for image in map(decoded, paths)]

    assert max(excess for excess, _ in excesses) < INVERTED_EXCESS
    assert min(excess for _, excess in excesses) > INVERTED_EXCESS


def decoded(path: Path) -> np.ndarray:
    return decode(path.read_bytes())


def test_shortcuts_are_told_by_their_auc(audited, folder):
    for path in (folder / "train/NORMAL").iterdir():
        cv2.imwrite(str(path), cv2.resize(gray(path), (400, 100)))

    of = {shortcut.quantity: shortcut for shortcut in audited().shortcuts}

    assert of["aspect ratio"].auc_of_split["train"] == of["width"].auc_of_split["train"] == 1
    assert of["aspect ratio"].larger_in == "NORMAL"
    assert of["aspect ratio"].of_class["NORMAL"].largest == 4
    means = [
        [gray(path).mean() for path in folder.glob(f"*/{name}/*.jpeg")] for name in ("NORMAL", "PNEUMONIA")
    ]
    auc = mannwhitneyu(means[1], means[0]).statistic / (len(means[0]) * len(means[1]))
    assert of["mean grey"].auc == pytest.approx(max(auc, 1 - auc))
    assert of["mean grey"].larger_in == ("PNEUMONIA" if auc > 0.5 else "NORMAL")
    assert of["mean grey"].of_class["PNEUMONIA"].median == pytest.approx(np.median(means[1]))


def test_what_is_the_same_in_all_images_tells_nothing(audited, folder):
    for path in folder.rglob("*.jpeg"):
        cv2.imwrite(str(path), cv2.resize(gray(path), (100, 90)))

    of = {shortcut.quantity: shortcut for shortcut in audited().shortcuts}

    assert (of["width"].auc, of["width"].larger_in) == (0.5, None)


def test_no_auc_where_a_class_cannot_be_read(audited, folder, tmp_path):
    for path in (folder / "val/NORMAL").iterdir():
        path.write_bytes(b"damaged")

    assert audited().shortcuts[0].auc_of_split["val"] is None
    assert (
        json.loads((tmp_path / "audit/audit.json").read_text())["shortcuts"][0]["auc_of_split"]["val"] is None
    )


def test_nothing_readable_is_still_a_report(audited, folder, tmp_path):
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


def test_the_json_holds_all_groups_with_what_they_are_across(audited, folder, tmp_path):
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


def test_the_page_holds_its_pictures_and_needs_nothing_else(audited, folder, tmp_path):
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


def test_the_page_limits_what_it_shows_and_says_the_total(audited, folder, tmp_path):
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


def test_pictures_of_a_group_are_of_all_its_splits(audited, folder):
    shutil.rmtree(folder / "val")
    for split, copies in (("train", 9), ("test", 2)):
        for number in range(copies):
            shutil.copy(first(folder, "train/NORMAL"), folder / split / f"NORMAL/copy{number}.jpeg")

    (group,) = audited().identical.groups

    shown = report.representatives(group)
    assert [image.split for image in shown] == ["train", "test", "train", "test", "train", "train"]
    assert len(set(shown)) == 6


def test_file_names_cannot_write_into_the_page(audited, folder, tmp_path):
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


def test_a_report_that_cannot_be_written_leaves_no_half_file(audited, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"/file'.* --output"):
        audited(output=str(tmp_path / "file"))

    (tmp_path / "audit/audit.html").mkdir(parents=True)
    with pytest.raises(UserError, match=r"audit\.html"):
        audited()
    assert {path.name for path in (tmp_path / "audit").iterdir()} == {"audit.html", "audit.json"}


@pytest.mark.parametrize(
    "wrong", [{"near_distance": 65}, {"near_distance": -1}, {"workers": 0}, {"shown": -1}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        AuditConfig("source", **wrong)


def run_command(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tfrecords_builder.audit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_findings_are_no_error(folder, tmp_path):
    shutil.copy(first(folder, "train/NORMAL"), folder / "test/NORMAL/copy.jpeg")

    done = run_command(folder, "--output", tmp_path / "audit")

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    cells = [line.replace("│", " ").split() for line in lines]
    assert ["byte-identical", "images", "1", "2", "1", "0", "1"] in cells
    assert ["train", "PNEUMONIA", "12"] in [line[:3] for line in cells]
    assert lines[-1] == str(tmp_path / "audit/audit.html")


def test_a_missing_source_is_a_users_mistake(tmp_path):
    done = run_command(tmp_path / "missing", "--output", tmp_path / "audit")

    assert done.returncode == 2
    assert (done.stdout, len(done.stderr.splitlines())) == ("", 1)
    assert "no folder" in done.stderr
    assert not (tmp_path / "audit").exists()


def test_the_audit_loads_no_tensorflow():
    code = "import sys, tfrecords_builder.audit; sys.exit('tensorflow' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
