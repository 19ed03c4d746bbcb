"""Lung masks in the records: from a folder, from the lung finder, and none."""

import errno
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tfrecords_builder import Preprocessing, manifest
from tfrecords_builder.building.build import build
from tfrecords_builder.building.settings import BuildConfig
from tfrecords_builder.decoding import UnreadableImage
from tfrecords_builder.errors import UserError
from tfrecords_builder.lungs import find_lungs
from tfrecords_builder.record_checks import find_faults
from tfrecords_builder.records import deserialize, pack_mask, unpack_mask
from tfrecords_builder.source import lung_masks

SIDE = 32


def settings(source, records, **changes) -> BuildConfig:
    defaults = {"preprocessing": Preprocessing(SIDE, 0.1), "val_fraction": 0.2, "shards": 2}
    return BuildConfig(str(source), str(records), **defaults | changes)


def stored(records: Path) -> dict:
    return {
        record.source: record
        for path in sorted(records.glob("*.tfrecord"))
        for record in map(deserialize, tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    }


def shards(records: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in records.glob("*.tfrecord")}


@pytest.fixture
def masks(source, tmp_path) -> Path:
    """A copy of the masks that the synthesizer drew."""
    return Path(shutil.copytree(source / "lungs", tmp_path / "masks"))


def test_a_mask_is_cropped_and_resized_as_its_image(source, masks, tmp_path):
    content = build(settings(source, tmp_path / "records", lungs=str(masks)))

    for name, record in stored(tmp_path / "records").items():
        mask = cv2.imread(str(masks / name.replace(".jpeg", ".png")), cv2.IMREAD_GRAYSCALE)
        top, left = int(mask.shape[0] * 0.1), int(mask.shape[1] * 0.1)
        cropped = mask[top : mask.shape[0] - top, left : mask.shape[1] - left]
        expected = cv2.resize(cropped, (SIDE, SIDE), interpolation=cv2.INTER_AREA) >= 128
        np.testing.assert_array_equal(unpack_mask(record.lungs, SIDE), expected)
        assert 0.1 < expected.mean() < 0.7
    assert {split.lungs for split in content.splits.values()} == {s.records for s in content.splits.values()}
    assert content.arguments["lungs"] == "masks"
    assert not find_faults(str(tmp_path / "records"))


def test_an_image_without_a_mask_has_an_empty_one(source, masks, tmp_path, caplog):
    missing = next((masks / "train/NORMAL").iterdir())
    missing.unlink()

    content = build(settings(source, tmp_path / "records", lungs=str(masks)))

    empty = [name for name, record in stored(tmp_path / "records").items() if not record.lungs]
    assert empty == [f"train/NORMAL/{missing.stem}.jpeg"]
    assert sum(split.lungs for split in content.splits.values()) == len(stored(tmp_path / "records")) - 1
    assert f"have no lung mask in {str(masks)!r}" in caplog.text
    assert not find_faults(str(tmp_path / "records"))


def test_the_finder_draws_the_masks_by_default(source, tmp_path):
    content = build(settings(source, tmp_path / "records"))

    assert content.arguments["lungs"] == "auto"
    for record in stored(tmp_path / "records").values():
        pixels = np.frombuffer(record.image, np.uint8).reshape(SIDE, SIDE)
        assert record.lungs == pack_mask(find_lungs([pixels])[0])


def test_without_masks_records_are_those_of_earlier_versions(source, tmp_path):
    content = build(settings(source, tmp_path / "records", lungs="none"))

    example = tf.train.Example.FromString(
        next(
            tf.data.TFRecordDataset(str(next((tmp_path / "records").glob("*.tfrecord")))).as_numpy_iterator()
        )
    )
    assert "lungs" not in example.features.feature
    assert all("lungs" not in split for split in json.loads(content.to_json())["splits"].values())
    assert not find_faults(str(tmp_path / "records"))


@pytest.mark.parametrize("lungs", ["auto", "masks"])
def test_the_number_of_workers_changes_nothing(source, masks, tmp_path, lungs):
    lungs = str(masks) if lungs == "masks" else lungs
    for workers in (1, 3):
        build(settings(source, tmp_path / str(workers), lungs=lungs, workers=workers))

    assert shards(tmp_path / "1") == shards(tmp_path / "3")


def test_a_mask_that_is_no_image_stops_the_build_with_its_name(source, masks, tmp_path, caplog):
    broken = next((masks / "test/PNEUMONIA").iterdir())
    broken.write_bytes(b"no image")

    with pytest.raises(UserError, match=r"1 images of .* cannot be read"):
        build(settings(source, tmp_path / "records", lungs=str(masks)))

    assert f"its lung mask {str(broken)!r} cannot be read" in caplog.text


def test_a_mask_of_zeros_and_ones_is_not_taken_for_an_empty_one(source, masks, tmp_path, caplog):
    path = next((masks / "train/NORMAL").iterdir())
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(path), mask // 255)

    with pytest.raises(UserError, match=r"1 images of .* cannot be read"):
        build(settings(source, tmp_path / "records", lungs=str(masks)))

    assert "its brightest pixel is 1, but lungs are drawn in 128 to 255" in caplog.text


def test_a_folder_with_masks_of_other_images_is_refused(source, masks, tmp_path):
    moved = masks.rename(tmp_path / "below")
    with pytest.raises(UserError, match=r"no image has a mask in .* the first of them would be"):
        build(settings(source, tmp_path / "records", lungs=str(tmp_path)))
    assert not (tmp_path / "records").exists()
    assert moved.exists()


def test_a_mask_that_may_not_be_read_is_named_and_not_its_image(masks, monkeypatch):
    path = str(next((masks / "test/NORMAL").iterdir()))

    def refuse(_: str) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(lung_masks, "read_image", refuse)

    with pytest.raises(UnreadableImage) as error:
        lung_masks.read_mask(path, Preprocessing(SIDE))
    assert str(error.value) == f"its lung mask {path!r} cannot be read: Permission denied"


@pytest.mark.parametrize(
    ("source_path", "expected"),
    [
        ("train/NORMAL/a.jpeg", "train/NORMAL/a.png"),
        ("train/NORMAL/a.b.JPG", "train/NORMAL/a.b.png"),
        ("train/NORMAL/a.dcm", "train/NORMAL/a.png"),
        ("/elsewhere/a.png", "elsewhere/a.png"),
        ("train/NORMAL/IM1", "train/NORMAL/IM1.png"),
        ("train/NORMAL/1.2.840.7", "train/NORMAL/1.2.840.7.png"),
        ("train/NORMAL/1.2.840.8", "train/NORMAL/1.2.840.8.png"),
    ],
)
def test_the_path_of_a_mask(source_path, expected):
    assert lung_masks.mask_path("masks", source_path) == f"masks/{expected}"


def test_an_unfinished_build_is_not_continued_with_other_masks(source, masks, tmp_path, monkeypatch):
    from tfrecords_builder.building import build as module

    monkeypatch.setattr(module, "_build_missing_shards", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        build(settings(source, tmp_path / "records", lungs=str(masks)))
    next((masks / "train/NORMAL").iterdir()).unlink()

    with pytest.raises(UserError, match="source_files"):
        build(settings(source, tmp_path / "records", lungs=str(masks)))


def test_other_lungs_are_other_settings(source, tmp_path):
    build(settings(source, tmp_path / "records", lungs="none"))

    with pytest.raises(UserError, match="lungs"):
        build(settings(source, tmp_path / "records", lungs="auto"))


def test_a_folder_that_does_not_exist(source, tmp_path):
    with pytest.raises(ValueError, match="auto, none or a folder of lung masks that exists"):
        settings(source, tmp_path / "records", lungs="nowhere")


def test_a_manifest_of_an_earlier_version_has_no_masks(source, tmp_path):
    content = build(settings(source, tmp_path / "records", lungs="none"))

    read = manifest.Manifest.from_json(content.to_json())

    assert read == content
    assert {split.lungs for split in read.splits.values()} == {0}


def test_packing_is_undone_for_sides_that_fill_no_whole_bytes():
    for side in (1, 3, 8, 17):
        mask = np.random.default_rng(side).random((side, side)) < 0.5
        np.testing.assert_array_equal(unpack_mask(pack_mask(mask), side), mask)
    with pytest.raises(ValueError, match="has 2 bytes, expected 8"):
        unpack_mask(b"ab", 8)
