import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from tests.tfrecords_builder.audit.sources import first, gray, sources
from tfrecords_builder.audit import titles
from tfrecords_builder.audit.measurements import corner_excess
from tfrecords_builder.audit.odd_images import INVERTED_EXCESS
from tfrecords_builder.decoding import decode
from tfrecords_builder.source.find import find_source_images


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
        path.relative_to(folder).as_posix() for path in folder.rglob("person1_*.jpeg") if path.is_file()
    }


def test_byte_identical_images_are_grouped_across_splits_classes_and_patients(audited, folder):
    original, other = first(folder, "train/NORMAL"), first(folder, "val/NORMAL")
    shutil.copy(original, folder / "train/NORMAL/IM-7001-0001.jpeg")
    shutil.copy(other, folder / "test/PNEUMONIA/person7002_virus_1.jpeg")

    found = audited()

    across, within = found.identical.groups  # groups with several splits come first
    assert sources(across) == {f"val/NORMAL/{other.name}", "test/PNEUMONIA/person7002_virus_1.jpeg"}
    assert sources(within) == {f"train/NORMAL/{original.name}", "train/NORMAL/IM-7001-0001.jpeg"}
    assert (across.splits, across.class_names) == (("val", "test"), ("NORMAL", "PNEUMONIA"))
    assert (within.splits, within.class_names) == (("train",), ("NORMAL",))
    assert (found.identical.across_splits, found.identical.across_classes) == (1, 1)
    assert (found.identical.across_patients, found.identical.images) == (2, 4)
    assert found.near.groups == ()


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


def test_negatives_of_real_x_rays_are_recognised_as_inverted(real_xrays, original_xrays):
    paths = [real_xrays / image.source for image in find_source_images(str(real_xrays)).images[::40]]
    paths += sorted(original_xrays.rglob("*.png"))

    excesses = [(corner_excess(image), corner_excess(255 - image)) for image in map(decoded, paths)]

    assert max(excess for excess, _ in excesses) < INVERTED_EXCESS
    assert min(excess for _, excess in excesses) > INVERTED_EXCESS


def decoded(path: Path) -> np.ndarray:
    return decode(path.read_bytes())


def test_shortcuts_are_found_by_their_auc(audited, folder):
    for path in (folder / "train/NORMAL").iterdir():
        cv2.imwrite(str(path), cv2.resize(gray(path), (400, 100)))

    by_quantity = {shortcut.quantity: shortcut for shortcut in audited().shortcuts}

    assert (
        by_quantity["aspect ratio"].auc_of_split["train"] == by_quantity["width"].auc_of_split["train"] == 1
    )
    assert by_quantity["aspect ratio"].larger_in == "NORMAL"
    assert by_quantity["aspect ratio"].of_class["NORMAL"].largest == 4
    means = [
        [gray(path).mean() for path in folder.glob(f"*/{name}/*.jpeg")] for name in ("NORMAL", "PNEUMONIA")
    ]
    auc = mannwhitneyu(means[1], means[0]).statistic / (len(means[0]) * len(means[1]))
    assert by_quantity["mean gray"].auc == pytest.approx(max(auc, 1 - auc))
    assert by_quantity["mean gray"].larger_in == ("PNEUMONIA" if auc > 0.5 else "NORMAL")
    assert by_quantity["mean gray"].of_class["PNEUMONIA"].median == pytest.approx(np.median(means[1]))


def test_a_number_that_is_equal_in_all_images_has_an_auc_of_one_half(audited, folder):
    for path in folder.rglob("*.jpeg"):
        cv2.imwrite(str(path), cv2.resize(gray(path), (100, 90)))

    by_quantity = {shortcut.quantity: shortcut for shortcut in audited().shortcuts}

    assert (by_quantity["width"].auc, by_quantity["width"].larger_in) == (0.5, None)


def test_without_readable_images_of_a_class_there_is_no_auc(audited, folder, tmp_path):
    for path in (folder / "val/NORMAL").iterdir():
        path.write_bytes(b"damaged")

    assert audited().shortcuts[0].auc_of_split["val"] is None
    assert (
        json.loads((tmp_path / "audit/audit.json").read_text())["shortcuts"][0]["auc_of_split"]["val"] is None
    )
