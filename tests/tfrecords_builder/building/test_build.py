import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfrecords_builder import Preprocessing, manifest, storage
from tfrecords_builder.building.build import build
from tfrecords_builder.building.settings import BuildConfig
from tfrecords_builder.errors import UserError
from tfrecords_builder.record_checks import find_faults
from tfrecords_builder.records import deserialize
from tfrecords_builder.source.find import find_source_images


def settings(source, records, **changes) -> BuildConfig:
    defaults = {"preprocessing": Preprocessing(32, 0.1), "val_fraction": 0.2, "shards": 3}
    return BuildConfig(str(source), str(records), **defaults | changes)


def stored(records: Path, split: str = "*"):
    for path in sorted(records.glob(f"{split}-*.tfrecord")):
        for serialized in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            yield deserialize(serialized)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def files_behind(url: str) -> dict[str, bytes]:
    names = tf.io.gfile.listdir(url)
    return {name: tf.io.gfile.GFile(storage.join(url, name), "rb").read() for name in names}


def test_every_image_is_in_one_record_with_its_label_patient_and_subtype(source, tmp_path):
    content = build(settings(source, tmp_path / "records"))

    records = list(stored(tmp_path / "records"))
    found = {image.source: image for image in find_source_images(str(source)).images}
    assert Counter(record.source for record in records) == Counter(found.keys())
    for record in records:
        image = found[record.source]
        assert (record.label, record.patient, record.subtype) == (image.label, image.patient, image.subtype)
    assert sum(split.records for split in content.splits.values()) == len(found)


def test_a_raw_record_holds_the_preprocessed_pixels(source, tmp_path):
    build(settings(source, tmp_path / "records"))

    record = next(stored(tmp_path / "records"))

    expected = Preprocessing(32, 0.1).apply((source / record.source).read_bytes())
    np.testing.assert_array_equal(np.frombuffer(record.image, np.uint8).reshape(32, 32), expected)


@pytest.mark.parametrize(("encoding", "tolerance"), [("png", 0), ("jpeg", 12)])
def test_encoded_records_decode_to_the_same_pixels(source, tmp_path, encoding, tolerance):
    build(settings(source, tmp_path / "records", encoding=encoding))

    record = next(stored(tmp_path / "records"))

    pixels = tf.io.decode_image(record.image).numpy()[..., 0].astype(int)
    expected = Preprocessing(32, 0.1).apply((source / record.source).read_bytes())
    assert np.abs(pixels - expected).max() <= tolerance


def test_records_behind_a_url_are_the_same_as_local_ones(source, tmp_path):
    build(settings(source, tmp_path / "records"))
    url = f"ram://{tmp_path}/records"

    content = build(settings(source, url))

    assert build(settings(source, url)) == content  # they exist already
    assert files_behind(url) == files_of(tmp_path / "records")
    assert find_faults(url) == []
    with pytest.raises(UserError, match="seed=0, not 1"):
        build(settings(source, url, seed=1))


def test_the_same_bytes_for_any_number_of_workers(source, tmp_path):
    for workers in (1, 2, 7):
        build(settings(source, tmp_path / str(workers), workers=workers))

    assert files_of(tmp_path / "1") == files_of(tmp_path / "2") == files_of(tmp_path / "7")


def test_dataset_json_describes_the_records(source, tmp_path):
    content = build(settings(source, tmp_path / "records"))

    assert manifest.load(str(tmp_path / "records")) == content
    for split, described in content.splits.items():
        records = list(stored(tmp_path / "records", split))
        assert described.records == len(records)
        assert described.patients == len({record.patient for record in records})
        assert described.classes == {
            "NORMAL": sum(not r.label for r in records),
            "PNEUMONIA": sum(r.label for r in records),
        }
        for shard in described.shards:
            assert (tmp_path / "records" / shard.name).stat().st_size == shard.bytes
    assert not {r.patient for r in stored(tmp_path / "records", "train")} & {
        r.patient for r in stored(tmp_path / "records", "val")
    }


@pytest.mark.parametrize(
    ("num_shared", "words"),
    [
        (0, ""),
        (2, "also in train or val: 2 ('person100', 'person101'); "),
        (4, "also in train or val: 4 ('person100', 'person101', 'person102', ...); "),
    ],
)
def test_a_warning_names_patients_of_test_that_the_model_also_trains_on(
    source, tmp_path, caplog, num_shared, words
):
    folder = Path(shutil.copytree(source, tmp_path / "source"))
    image = next((folder / "train/PNEUMONIA").iterdir()).read_bytes()
    for split in ("train", "test"):
        for number in range(num_shared):
            (folder / split / f"PNEUMONIA/person{100 + number}_virus_1.jpeg").write_bytes(image)

    build(settings(folder, tmp_path / "records"))

    warnings = [line for line in caplog.messages if "patients of test" in line]
    assert len(warnings) == bool(num_shared)
    assert all(words in line and "\n" not in line for line in warnings)


@pytest.fixture
def damaged(source, tmp_path) -> Path:
    folder = tmp_path / "damaged"
    shutil.copytree(source, folder)
    names = sorted((folder / "train" / "PNEUMONIA").iterdir())[:2]
    names[0].write_bytes(b"no image")
    names[1].write_bytes(names[1].read_bytes()[:20])
    return folder


def test_all_unreadable_images_are_named_and_no_file_remains(damaged, tmp_path, caplog):
    with pytest.raises(UserError, match="2 images"):
        build(settings(damaged, tmp_path / "records"))

    assert caplog.text.count("left out") == 2
    assert not (tmp_path / "records").exists()


def test_unreadable_images_can_be_skipped_and_are_listed(damaged, tmp_path):
    content = build(settings(damaged, tmp_path / "records", on_error="skip"))

    listed = json.loads((tmp_path / "records" / "dataset.json").read_text())["left_out"]
    assert len(content.left_out) == len(listed) == 2
    assert {entry["source"] for entry in listed}.isdisjoint(r.source for r in stored(tmp_path / "records"))


def test_existing_records_are_kept_without_overwrite(source, tmp_path):
    build(settings(source, tmp_path))
    before = files_of(tmp_path)

    build(settings(source, tmp_path))
    with pytest.raises(UserError, match="seed=0, not 1"):
        build(settings(source, tmp_path, seed=1))
    assert files_of(tmp_path) == before

    build(settings(source, tmp_path, seed=1, overwrite=True))
    assert manifest.load(str(tmp_path)).arguments["seed"] == 1


def test_a_source_of_test_images_alone_is_built_on_request(source, tmp_path):
    folder = tmp_path / "chest_xray"
    shutil.copytree(source / "test", folder / "test")
    with pytest.raises(UserError, match=r"test images only.*--test-fraction 1"):
        build(settings(folder, tmp_path / "records"))

    content = build(settings(folder, tmp_path / "records", test_fraction=1))

    assert list(content.splits) == ["test"]
    assert content.splits["test"].classes == {"NORMAL": 4, "PNEUMONIA": 4}


def test_all_images_of_a_source_can_be_test_images(source, tmp_path):
    content = build(settings(source, tmp_path / "records", test_fraction=1))

    assert list(content.splits) == ["test"]
    assert content.splits["test"].classes == {"NORMAL": 19, "PNEUMONIA": 19}


@pytest.mark.parametrize(
    "wrong", [{"val_fraction": 0.6}, {"test_fraction": 0.6}, {"workers": 0}, {"shards": -1}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        BuildConfig("source", "records", **wrong)
