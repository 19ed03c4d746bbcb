"""Each reader by its name: what every reader promises, and what only one of them does."""

import struct
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipeline.benchmark import samples
from pipeline.dataset import make_dataset
from pipeline.input import mapped, mapped_shards
from pipeline.input.arrays import load_arrays
from pipeline.input.prefetching import PREFETCHED_BATCHES
from tests.pipeline.input.contents import batches_of, images_of, stored_images
from tfrecords_builder.errors import UserError

EVERY_READER = pytest.mark.parametrize("reader", ["memory", "mapped", "streamed"])
EVERY_ENCODING = pytest.mark.parametrize("encoding", ["raw", "jpeg", "png"])
DECODES_PNG = """
import os, cv2, numpy as np
from pipeline.input.mapped_shards import _decode_png

encoded = cv2.imencode(".png", np.zeros((2048, 2048, 3), np.uint8))[1].tobytes()
cv2.setNumThreads(8)
before = len(os.listdir("/proc/self/task"))
_decode_png(memoryview(encoded), np.empty((2048, 2048, 1), np.uint8))
print(len(os.listdir("/proc/self/task")) - before)
"""


@EVERY_READER
@EVERY_ENCODING
@pytest.mark.parametrize(("shards", "batch_size"), [(1, 7), (3, 1), (17, 64)])
def test_an_epoch_holds_every_record_exactly_once(write_records, reader, encoding, shards, batch_size):
    records = write_records({"train": 41}, shards=shards, encoding=encoding)
    stored = stored_images(records)
    assert len(stored) == 41

    for training in (True, False):
        dataset = make_dataset(records, "train", batch_size=batch_size, training=training, reader=reader)
        found = images_of(dataset)
        if encoding == "jpeg":  # TensorFlow and simplejpeg may decode a pixel by one gray level differently
            assert len(set(found)) == len(found) == 41
        else:
            assert {image: found.count(image) for image in found} == stored
        assert dataset.cardinality() == -(-41 // batch_size)


@EVERY_READER
@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_batches_have_the_promised_types_and_pixels(write_records, reader, encoding):
    records = write_records({"val": 10}, encoding=encoding)
    images, labels = load_arrays(records, "val")

    dataset = make_dataset(records, "val", batch_size=4, training=False, reader=reader)

    batches = list(dataset.as_numpy_iterator())
    assert [(b.shape, b.dtype, y.shape, y.dtype) for b, y in batches] == [
        ((n, 32, 32, 1), np.uint8, (n,), np.float32) for n in (4, 4, 2)
    ]
    assert dataset.element_spec == (
        tf.TensorSpec((None, 32, 32, 1), tf.uint8),
        tf.TensorSpec((None,), tf.float32),
    )
    np.testing.assert_array_equal(np.concatenate([b for b, _ in batches]), images)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), labels)


@EVERY_READER
def test_jpeg_is_decoded_as_opencv_does_within_a_gray_level(smooth_jpeg_records, reader):
    records, expected = smooth_jpeg_records

    dataset = make_dataset(records, "train", batch_size=4, training=False, reader=reader)
    decoded = np.concatenate([images for images, _ in dataset.as_numpy_iterator()])

    assert np.abs(decoded.astype(int) - expected).max() <= 1


@pytest.fixture(scope="module")
def smooth_jpeg_records(tmp_path_factory):
    """JPEG records, and their pixels as OpenCV decodes them: int (20, 32, 32, 1)."""
    coarse = np.random.default_rng(3).integers(0, 256, (20, 4, 4), dtype=np.uint8)
    smooth = np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_CUBIC) for image in coarse])
    folder = tmp_path_factory.mktemp("records") / "jpeg"
    records = samples.write_records(folder, smooth[..., None], np.arange(20) % 2, "jpeg")
    stored = [position for index in range(16) for position in range(index, 20, 16)]
    encoded = [cv2.imencode(".jpeg", smooth[n], [cv2.IMWRITE_JPEG_QUALITY, 95])[1] for n in stored]
    decoded = np.stack([cv2.imdecode(image, cv2.IMREAD_GRAYSCALE) for image in encoded])
    return records, decoded[..., None].astype(int)


@EVERY_READER
def test_the_order_differs_by_epoch_and_seed_and_by_nothing_else(write_records, reader):
    records = write_records({"train": 50})

    def order(**arguments):
        return images_of(
            make_dataset(records, "train", batch_size=8, training=True, reader=reader, **arguments)
        )

    first = order(seed=1)
    assert order(seed=1) == first
    assert order(seed=2) != first
    second = order(seed=1, first_epoch=1)
    assert second not in (first, order(seed=2))
    assert order(seed=1, epochs=2) == first + second
    tf.random.set_seed(77)
    assert order(seed=1) == first


def test_the_memory_and_the_mapped_reader_have_the_same_order(write_records):
    records = write_records({"train": 41})

    memory, mapped = (
        batches_of(make_dataset(records, "train", batch_size=7, training=True, reader=reader, seed=5))
        for reader in ("memory", "mapped")
    )

    assert memory == mapped


@EVERY_READER
@pytest.mark.parametrize("training", [True, False])
def test_an_epoch_begun_at_any_batch_has_the_remaining_batches(write_records, reader, training):
    records = write_records({"train": 41}, shards=5)
    arguments = {
        "batch_size": 7,
        "training": training,
        "reader": reader,
        "seed": 3,
        "first_epoch": 2,
        "epochs": 2,
    }
    whole = batches_of(make_dataset(records, "train", **arguments))
    assert len(whole) == 12

    for first_batch in range(6):
        rest = make_dataset(records, "train", first_batch=first_batch, **arguments)
        assert batches_of(rest) == whole[first_batch:]


@EVERY_READER
def test_without_an_end_an_epoch_follows_the_other(write_records, reader):
    records = write_records({"train": 20})
    arguments = {"batch_size": 8, "training": True, "reader": reader, "first_epoch": 1}
    three = batches_of(make_dataset(records, "train", epochs=3, **arguments))

    endless = make_dataset(records, "train", epochs=None, first_batch=1, **arguments)

    assert endless.cardinality() < 0
    assert batches_of(endless.take(8)) == three[1:9]
    assert batches_of(endless.take(8)) == three[1:9]


@EVERY_READER
def test_batches_that_are_held_are_not_overwritten(write_records, reader):
    records = write_records({"train": 64}, shards=2)
    images = load_arrays(records, "train")[0]

    held = list(make_dataset(records, "train", batch_size=8, training=False, reader=reader, epochs=5))

    for epoch in range(5):
        ours = np.concatenate([batch.numpy() for batch, _ in held[epoch * 8 : epoch * 8 + 8]])
        np.testing.assert_array_equal(ours, images)


@EVERY_READER
def test_a_shard_that_is_missing_or_cut_short_is_named(write_records, reader):
    records = write_records({"train": 10}, shards=2)
    shard = sorted(Path(records).glob("*.tfrecord"))[1]

    def begin():
        make_dataset(records, "train", batch_size=4, training=True, reader=reader)

    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(UserError, match=f"{shard.name}.* bytes"):
        begin()
    shard.unlink()
    with pytest.raises(UserError, match=f"{shard.name}.*missing"):
        begin()


DAMAGES = pytest.mark.parametrize(
    "damage", [struct.pack("<Q", 1 << 40), b"\xff" * 40, b"\0" * 60, b"\x0a\xff\xff\xff\xff\x7f" * 6]
)


@DAMAGES
def test_a_damaged_shard_cannot_be_held_in_memory(write_records, damage):
    records = write_damaged(write_records, damage)

    with pytest.raises(UserError, match=r"damaged.*tfrecords_builder\.verify"):
        make_dataset(records, "train", batch_size=4, training=True, reader="memory")


@pytest.mark.parametrize("damage", [b"\xff" * 60, bytes(60)])
def test_the_mapped_reader_notices_that_there_is_no_record(write_records, damage):
    records = write_damaged(write_records, damage)

    with pytest.raises(UserError, match=r"damaged \(it has no image where.*tfrecords_builder\.verify"):
        make_dataset(records, "train", batch_size=4, training=True, reader="mapped")


def test_the_mapped_reader_notices_an_index_of_another_shard(write_records):
    records = write_records({"train": 10}, shards=2)
    index = sorted(Path(records).glob("*.index"))[1]
    numbers = np.frombuffer(index.read_bytes(), np.uint64).reshape(-1, 2) + np.array([2, 0], np.uint64)
    index.write_bytes(numbers.tobytes())  # each image begins a byte later

    with pytest.raises(UserError, match="it has no image where its index says"):
        make_dataset(records, "train", batch_size=4, training=True, reader="mapped")


def test_the_mapped_reader_notices_an_index_of_another_size(write_records):
    records = write_records({"train": 10}, shards=2)
    index = sorted(Path(records).glob("*.index"))[1]
    index.write_bytes(index.read_bytes()[:-16])

    with pytest.raises(UserError, match="its index has 64 bytes, but 5 records take 80"):
        make_dataset(records, "train", batch_size=4, training=True, reader="mapped")


@DAMAGES
def test_a_damaged_shard_ends_the_stream(write_records, damage):
    records = write_damaged(write_records, damage)
    dataset = make_dataset(records, "train", batch_size=4, training=True, reader="streamed")

    with pytest.raises((tf.errors.DataLossError, tf.errors.InvalidArgumentError)):
        images_of(dataset)


def write_damaged(write_records, damage: bytes) -> str:
    """Records whose second shard begins with other bytes."""
    records = write_records({"train": 10}, shards=2)
    shard = sorted(Path(records).glob("*.tfrecord"))[1]
    shard.write_bytes(damage + shard.read_bytes()[len(damage) :])
    return records


@pytest.mark.parametrize("reader", ["memory", "streamed"])
def test_records_behind_a_url_give_the_same_batches_as_local_ones(write_records, copy_to_url, reader):
    records = write_records({"train": 41}, shards=5)
    arguments = {"batch_size": 7, "training": True, "reader": reader, "epochs": 2}

    behind_url = make_dataset(copy_to_url(records), "train", **arguments)

    assert batches_of(behind_url) == batches_of(make_dataset(records, "train", **arguments))


def test_the_mapped_reader_refuses_a_url(write_records, copy_to_url):
    url = copy_to_url(write_records({"train": 10}))

    with pytest.raises(UserError, match=r"local folder.*ram://"):
        make_dataset(url, "train", batch_size=4, training=True, reader="mapped")


@pytest.mark.slow
def test_decoding_starts_no_thread_of_opencv():
    done = subprocess.run([sys.executable, "-c", DECODES_PNG], check=True, capture_output=True, text=True)

    assert done.stdout == "0\n"


def test_no_more_batches_are_prepared_however_often_the_training_pauses(write_records, monkeypatch):
    records = write_records({"train": 64}, shards=2)
    prepared = []

    def counted(*arguments):
        prepared.append(1)
        mapped_shards.copy_pixels(*arguments)

    monkeypatch.setattr(mapped, "copy_pixels", counted)
    dataset = make_dataset(records, "train", batch_size=8, training=True, reader="mapped", epochs=None)
    batches = iter(dataset)

    taken, ahead = 0, []
    for _ in range(8):  # a buffer that grows whenever it was full and then ran empty would double each time
        for _ in range(100):
            next(batches)
            taken += 1
        time.sleep(0.1)
        ahead.append(len(prepared) - taken)

    assert 0 < max(ahead) <= PREFETCHED_BATCHES + 2, ahead


def test_a_missing_split_or_folder_is_the_users_mistake(write_records, tmp_path):
    with pytest.raises(UserError, match="no 'val' records"):
        make_dataset(write_records({"train": 2}), "val", batch_size=1, training=False)
    with pytest.raises(UserError, match=r"no dataset\.json"):
        make_dataset(str(tmp_path), "val", batch_size=1, training=False)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"first_batch": 3}, "first_batch must be 0 to 2"),
        ({"host": (2, 2)}, "host must be"),
        ({"host": (0, 11)}, "too few for 11 hosts"),
        ({"reader": "disk"}, "reader must be one of memory, mapped, streamed"),
    ],
)
def test_impossible_arguments_are_refused(write_records, wrong, message):
    with pytest.raises(UserError, match=message):
        make_dataset(write_records({"train": 10}), "train", **{"batch_size": 4, "training": True} | wrong)
