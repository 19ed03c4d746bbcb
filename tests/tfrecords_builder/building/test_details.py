"""What records keep besides label and patient: columns and boxes of a table, and the originals' sizes."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipeline.evaluation.lesions import load_masks
from pipeline.input.arrays import load_details, load_origins
from tfrecords_builder import Preprocessing, manifest
from tfrecords_builder.building.build import build
from tfrecords_builder.building.settings import BuildConfig
from tfrecords_builder.record_checks import find_faults
from tfrecords_builder.records import deserialize
from tfrecords_builder.source.settings import SourceOptions, TableOptions

PREPROCESSING = Preprocessing(32, 0.1)
BOX = ("left", "top", "width", "height")


@pytest.fixture(scope="module")
def table(source) -> str:
    """A table of the synthetic images: an age and a site for each, and a row for each lesion."""
    lesions = json.loads((source / "lesions.json").read_text())
    rows = []
    for number, path in enumerate(sorted(source.glob("t*/*/*.jpeg"))):
        name = path.relative_to(source).as_posix()
        start = f"{name},{path.parent.name},{path.parts[-3]},{number},Zürich"
        rows += [f"{start},{','.join(map(str, box))}" for box in lesions.get(name, [])] or [f"{start},,,,"]
    file = source.parent / "table.csv"
    file.write_text("\n".join(["path,label,split,age,site,left,top,width,height", *rows]), encoding="utf-8")
    return str(file)


def settings(table, source, records, **options) -> BuildConfig:
    reading = SourceOptions(TableOptions(images=str(source), **options))
    return BuildConfig(table, str(records), PREPROCESSING, reading=reading, val_fraction=0.2, shards=2)


@pytest.fixture(scope="module")
def built(table, source, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("details") / "records"
    build(settings(table, source, folder, keep=("age", "site"), box=BOX))
    return folder


def test_columns_and_sizes_are_those_of_the_images(built, source, table):
    ages = {line.split(",")[0]: line.split(",")[3] for line in Path(table).read_text("utf-8").splitlines()}
    details = load_details(str(built), "test")
    sources = [origin["source"] for origin in load_origins(str(built), "test")]

    assert details.columns["age"] == tuple(ages[source] for source in sources)
    assert set(details.columns["site"]) == {"Zürich"}
    for name, width, height in zip(sources, details.widths, details.heights, strict=True):
        assert cv2.imread(str(source / name), cv2.IMREAD_GRAYSCALE).shape == (height, width)


def test_boxes_are_the_masks_that_lesions_json_gives(built, source):
    sources = [origin["source"] for origin in load_origins(str(built), "test")]

    expected = load_masks(str(source / "lesions.json"), sources, PREPROCESSING)

    lesions = load_details(str(built), "test").lesions
    np.testing.assert_array_equal(lesions[:], expected)
    assert 0 < lesions.known.sum() < len(expected)


def test_verify_finds_no_fault_and_dataset_json_names_the_columns(built):
    assert find_faults(str(built)) == []
    table = manifest.load(str(built)).arguments["table"]
    assert (table["keep"], table["box"]) == (["age", "site"], list(BOX))


def test_other_columns_are_other_records(built, table, source, tmp_path):
    build(settings(table, source, tmp_path / "other", keep=("age",)))

    (first, *_) = tf.data.TFRecordDataset(
        str(min((tmp_path / "other").glob("test*.tfrecord")))
    ).as_numpy_iterator()
    record = deserialize(first)
    assert record.columns.keys() == {"age"}
    assert record.lesions is None
    assert load_details(str(tmp_path / "other"), "test").lesions is None


def test_records_without_details_are_read(records):
    details = load_details(records, "test")

    assert details.columns == {}
    assert details.lesions is None
    assert not details.widths.any()
