"""The index of a shard, against the shard itself."""

import dataclasses
import hashlib

import numpy as np
import pytest

from pipeline.dataset import make_dataset
from pipeline.input.arrays import load_arrays, load_lungs
from tests.small_run import write_records
from tfrecords_builder import manifest, record_index
from tfrecords_builder.errors import UserError
from tfrecords_builder.records import Record, deserialize, serialize
from tfrecords_builder.shards import make_index, write_shard


def record(number: int, *, lungs: bytes | None) -> Record:
    image = bytes([number]) * (3 + number)
    return Record(image, number % 2, f"patient{number}", f"{number}.png", "", "0" * 64, lungs=lungs)


def read(shard: bytes, index: bytes) -> list[tuple[bytes, int, bytes]]:
    """Image, label and 4 bytes of the lung mask of each record, by the table in `record_index`."""
    found = []
    for begin in range(0, len(index), 16):
        position = int.from_bytes(index[begin : begin + 8], "little")
        size, to_lungs = (int.from_bytes(index[begin + at : begin + at + 4], "little") for at in (8, 12))
        image, label = divmod(position, 2)
        lungs = image + size + to_lungs - 1
        mask = shard[lungs : lungs + 4] if to_lungs else b""
        found.append((shard[image : image + size], label, mask))
    return found


def test_it_says_where_image_and_mask_are_and_what_the_label_is(tmp_path):
    masks = [None, b"mask", b"", b"\0\0\0\0", b"MASK"]
    records = [record(number, lungs=mask) for number, mask in enumerate(masks)]

    shard = write_shard(str(tmp_path), "train-00000-of-00001.tfrecord", records)

    index = (tmp_path / "train-00000-of-00001.index").read_bytes()
    found = read((tmp_path / shard.name).read_bytes(), index)
    assert found == [(one.image, one.label, one.lungs or b"") for one in records]
    assert shard.records == 5
    assert shard.index_sha256 == hashlib.sha256(index).hexdigest()
    assert make_index(str(tmp_path / shard.name)) == index


def test_an_example_says_the_same_wherever_it_was_read(tmp_path):
    made = record(3, lungs=b"mask")
    example = serialize(made)

    assert record_index.place(example, made) == record_index.place(example, deserialize(example))


@pytest.fixture
def records(tmp_path) -> str:
    return write_records(tmp_path, {"train": 20}, shards=2)


def without_index(records: str, tmp_path) -> None:
    """Makes them what an earlier version built."""
    content = manifest.load(records)
    split = content.splits["train"]
    shards = tuple(dataclasses.replace(shard, index_sha256=None) for shard in split.shards)
    splits = {"train": dataclasses.replace(split, shards=shards)}
    (tmp_path / "dataset.json").write_text(dataclasses.replace(content, splits=splits).to_json())
    for path in tmp_path.glob("*.index"):
        path.unlink()


def test_records_of_before_are_read_without_one(records, tmp_path, caplog):
    before = [
        batch[0].numpy()
        for batch in make_dataset(records, "train", batch_size=7, training=True, reader="mapped")
    ]
    without_index(records, tmp_path)
    caplog.set_level("INFO")

    dataset = make_dataset(records, "train", batch_size=7, training=True, reader="mapped", lungs=True)
    found = [batch[0] for batch in dataset]

    assert "has no index and is read whole" in caplog.text
    assert "index" not in (tmp_path / "dataset.json").read_text()
    np.testing.assert_array_equal(np.concatenate([images for images, _ in found]), np.concatenate(before))
    assert all((lungs.numpy() != 0).all() for _, lungs in found)
    assert load_lungs(records, "train").known.all()


@pytest.mark.parametrize("change", ["missing", "cut", "empty"])
def test_an_index_that_does_not_fit_is_named(records, tmp_path, change):
    path = tmp_path / "train-00001-of-00002.index"
    path.write_bytes({"cut": path.read_bytes()[:-16], "empty": b""}.get(change, b"x"))
    if change == "missing":
        path.unlink()

    reason = {
        "missing": "cannot be read .*build the records again",
        "cut": r"is damaged \(its index has 144 bytes, but 10 records take 160\).*tfrecords_builder\.verify",
        "empty": "cannot be read .*build the records again",
    }[change]
    with pytest.raises(UserError, match=rf"train-00001-of-00002\S* {reason}"):
        make_dataset(records, "train", batch_size=7, training=True, reader="mapped")
    assert len(load_arrays(records, "train")[0]) == 20  # which needs no index
