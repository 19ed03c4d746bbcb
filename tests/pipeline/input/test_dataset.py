import struct
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from pipeline import dataset as dataset_module
from pipeline.dataset import make_dataset, steps_per_epoch
from pipeline.input.arrays import load_arrays, load_origins
from pipeline.input.hosts import host_share
from pipeline.input.mapped_shards import MappedShards
from tfrecords_builder import manifest
from tfrecords_builder.errors import UserError


@pytest.fixture(autouse=True)
def png_records_are_streamed(request, monkeypatch):
    """As if they did not fit in memory; raw ones and JPEG are mapped, or held in memory."""
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and callspec.params.get("encoding") == "png":
        monkeypatch.setattr(dataset_module, "_memory_bytes", lambda: 0)


def test_the_same_epoch_by_index_whether_mapped_or_in_memory(write_records):
    for encoding in ("raw", "jpeg"):
        records = write_records({"train": 41}, encoding=encoding)
        mapped, held = (
            batches_of(make_dataset(records, "train", batch_size=7, training=True, cache=cache, seed=5))
            for cache in ("none", "ram")
        )
        assert mapped == held


def identities(dataset) -> list[bytes]:
    return [image.tobytes() for images, _ in dataset.as_numpy_iterator() for image in images]


def batches_of(dataset) -> list[bytes]:
    return [images.tobytes() for images, _ in dataset.as_numpy_iterator()]


@pytest.mark.parametrize("encoding", ["raw", "png"])
@pytest.mark.parametrize("cache", ["ram", "none"])
@pytest.mark.parametrize(("shards", "batch_size"), [(1, 7), (2, 64), (3, 1), (8, 5), (17, 7)])
def test_an_epoch_holds_every_record_exactly_once(write_records, encoding, cache, shards, batch_size):
    records = write_records({"train": 41}, shards=shards, encoding=encoding)
    stored = Counter(image.tobytes() for image in load_arrays(records, "train")[0].numpy())

    for training in (True, False):
        dataset = make_dataset(records, "train", batch_size=batch_size, training=training, cache=cache)
        assert Counter(identities(dataset)) == stored
        assert dataset.cardinality() == -(-41 // batch_size)
        assert len(stored) == 41


@pytest.mark.parametrize("cache", ["ram", "none"])
@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_batches_have_the_promised_types_and_pixels(write_records, encoding, cache):
    records = write_records({"val": 10}, encoding=encoding)
    images, labels = load_arrays(records, "val")

    dataset = make_dataset(records, "val", batch_size=4, training=False, cache=cache)

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


def test_jpeg_is_decoded_as_opencv_does_within_a_grey_level(write_jpeg_records):
    records, images = write_jpeg_records

    streamed = np.concatenate(
        [b for b, _ in make_dataset(records, "train", batch_size=4, training=False, cache="none")]
    )

    assert np.abs(streamed.astype(int) - images).max() <= 1


@pytest.fixture
def write_jpeg_records(tmp_path):
    import cv2

    from pipeline.benchmark.samples import write_records

    generator = np.random.default_rng(3)
    smooth = [
        cv2.resize(
            generator.integers(0, 256, (4, 4), dtype=np.uint8), (32, 32), interpolation=cv2.INTER_CUBIC
        )
        for _ in range(20)
    ]
    records = write_records(tmp_path / "jpeg", np.stack(smooth)[..., None], np.arange(20) % 2, "jpeg")
    order = [position for index in range(16) for position in range(index, 20, 16)]
    encoded = [cv2.imencode(".jpeg", smooth[p], [cv2.IMWRITE_JPEG_QUALITY, 95])[1] for p in order]
    return records, np.stack([cv2.imdecode(e, cv2.IMREAD_GRAYSCALE) for e in encoded])[..., None].astype(int)


WAYS = pytest.mark.parametrize(("cache", "encoding"), [("ram", "raw"), ("none", "raw"), ("none", "png")])


@WAYS
def test_order_changes_with_each_epoch_and_is_the_same_for_the_same_seed(write_records, cache, encoding):
    records = write_records({"train": 50}, encoding=encoding)

    def order(**arguments):
        return identities(
            make_dataset(records, "train", batch_size=8, training=True, cache=cache, **arguments)
        )

    first = order(seed=1)
    assert order(seed=1) == first
    assert order(seed=2) != first
    second = order(seed=1, first_epoch=1)
    assert second not in (first, order(seed=2))
    assert order(seed=1, epochs=2) == first + second
    tf.random.set_seed(77)
    assert order(seed=1) == first


@WAYS
@pytest.mark.parametrize("training", [True, False])
def test_an_epoch_begun_in_the_middle_has_the_remaining_batches_and_no_others(
    write_records, cache, encoding, training
):
    records = write_records({"train": 41}, encoding=encoding, shards=5)
    arguments = {"batch_size": 7, "training": training, "cache": cache, "seed": 3, "first_epoch": 2}
    whole = batches_of(make_dataset(records, "train", epochs=2, **arguments))

    for first_batch in (0, 1, 5):
        rest = make_dataset(records, "train", epochs=2, first_batch=first_batch, **arguments)
        assert rest.cardinality() == 12 - first_batch
        assert batches_of(rest) == whole[first_batch:]


@WAYS
@pytest.mark.parametrize(("count", "hosts"), [(41, 2), (43, 3), (29, 4), (15, 2)])
def test_hosts_share_every_record_exactly_once_in_equally_many_batches(
    write_records, cache, encoding, count, hosts
):
    records = write_records({"train": count}, encoding=encoding, shards=5)
    stored = Counter(image.tobytes() for image in load_arrays(records, "train")[0].numpy())
    seen, numbers = Counter(), set()

    for index in range(hosts):
        dataset = make_dataset(
            records, "train", batch_size=7, training=True, cache=cache, shard=(index, hosts)
        )
        sizes = [len(labels) for _, labels in dataset]
        seen.update(identities(dataset))
        numbers.add(len(sizes))
        assert all(size == 7 for size in sizes[:-1])
        assert 1 <= sizes[-1] <= 8

    assert seen == stored
    content = manifest.load(records)
    assert numbers == {steps_per_epoch(content, "train", 7, (0, hosts))}


def test_a_host_opens_the_shards_of_its_part_alone(write_records):
    content = manifest.load(write_records({"train": 40}, shards=4))

    first, second = (host_share(content, "train", 8, (index, 2)) for index in range(2))

    assert [part.name for part in first.parts + second.parts] == [
        shard.name for shard in content.splits["train"].shards
    ]


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_every_position_of_a_shuffled_epoch_is_as_likely_for_every_record(write_records, cache):
    count, epochs = 12, 400
    records = write_records({"train": count}, shards=2)
    names = {image.tobytes(): n for n, image in enumerate(load_arrays(records, "train")[0].numpy())}
    dataset = make_dataset(
        records, "train", batch_size=count, training=True, cache=cache, seed=5, epochs=epochs
    )
    places = np.zeros((count, count))
    for images, _ in dataset.as_numpy_iterator():
        for place, image in enumerate(images):
            places[names[image.tobytes()], place] += 1

    statistic = ((places - epochs / count) ** 2 / (epochs / count)).sum()

    assert statistic < stats.chi2.ppf(0.9999, (count - 1) ** 2)


def test_the_shuffle_buffer_mixes_well_even_where_it_is_smaller_than_the_split(write_records, monkeypatch):
    """Neighbours in storage come apart, and records move across a good part of the epoch."""
    count = 400
    monkeypatch.setattr(dataset_module, "SHUFFLE_BUFFER_RECORDS", 100)
    records = write_records({"train": count}, shards=8, encoding="png")
    names = {image.tobytes(): n for n, image in enumerate(load_arrays(records, "train")[0].numpy())}
    order = np.array(
        [
            names[image]
            for image in identities(
                make_dataset(records, "train", batch_size=50, training=True, cache="none", seed=1)
            )
        ]
    )

    moved = np.abs(order - np.arange(count)).mean() / count
    neighbours = (np.abs(np.diff(order)) == 1).sum()

    assert 0.25 < moved < 0.42  # a true shuffle: one third
    assert neighbours < 10  # a true shuffle: 2


def test_batches_that_are_held_are_not_overwritten(write_records):
    records = write_records({"train": 64}, shards=2)
    images = load_arrays(records, "train")[0].numpy()

    held = list(make_dataset(records, "train", batch_size=8, training=False, cache="none", epochs=5))

    for epoch in range(5):
        ours = np.concatenate([batch.numpy() for batch, _ in held[epoch * 8 : epoch * 8 + 8]])
        np.testing.assert_array_equal(ours, images)


def test_no_more_batches_are_made_ahead_however_often_the_reader_pauses(write_records, monkeypatch):
    records = write_records({"train": 64}, shards=2)
    made = []
    copy_pixels = MappedShards.copy_pixels

    def counted(*arguments):
        made.append(1)
        copy_pixels(*arguments)

    monkeypatch.setattr(MappedShards, "copy_pixels", counted)
    batches = iter(make_dataset(records, "train", batch_size=8, training=True, cache="none", epochs=None))

    taken, ahead = 0, []
    for _ in range(8):  # a buffer that grows when it was full and then ran empty would double each time
        for _ in range(100):
            next(batches)
            taken += 1
        time.sleep(0.1)
        ahead.append(len(made) - taken)

    assert 0 < max(ahead) <= dataset_module.PREFETCHED_BATCHES + 2, ahead


def test_origins_are_in_the_order_of_the_arrays(records):
    origins = load_origins(records, "test")
    labels = load_arrays(records, "test")[1].numpy()

    assert len(origins) == len(labels)
    assert [origin["subtype"] == "virus" for origin in origins] == list(labels == 1)


def test_a_missing_split_or_folder_is_the_users_mistake(write_records, tmp_path):
    with pytest.raises(UserError, match="no 'val' records"):
        make_dataset(write_records({"train": 2}), "val", batch_size=1, training=False)
    with pytest.raises(UserError, match=r"no dataset\.json"):
        make_dataset(str(tmp_path), "val", batch_size=1, training=False)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"first_batch": 3}, "first_batch must be 0 to 2"),
        ({"shard": (2, 2)}, "host must be"),
        ({"shard": (0, 11)}, "too few for 11 hosts"),
    ],
)
def test_impossible_arguments_are_refused(write_records, wrong, message):
    with pytest.raises(UserError, match=message):
        make_dataset(write_records({"train": 10}), "train", **{"batch_size": 4, "training": True} | wrong)


@pytest.mark.parametrize("cache", ["ram", "none"])
@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_a_shard_that_is_missing_or_cut_short_is_named(write_records, cache, encoding):
    records = write_records({"train": 10}, shards=2, encoding=encoding)
    shard = sorted(Path(records).glob("*.tfrecord"))[1]

    def begin():
        make_dataset(records, "train", batch_size=4, training=True, cache=cache)

    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(UserError, match=f"{shard.name}.* bytes"):
        begin()
    shard.unlink()
    with pytest.raises(UserError, match=f"{shard.name}.*missing"):
        begin()


@pytest.mark.parametrize("cache", ["ram", "none"])
@pytest.mark.parametrize(
    "damage", [struct.pack("<Q", 1 << 40), b"\xff" * 40, b"\0" * 60, b"\x0a\xff\xff\xff\xff\x7f" * 6]
)
def test_a_damaged_shard_is_the_users_to_mend(write_records, cache, damage):
    records = write_records({"train": 10}, shards=2)
    shard = sorted(Path(records).glob("*.tfrecord"))[1]
    shard.write_bytes(damage + shard.read_bytes()[len(damage) :])

    with pytest.raises(UserError, match=r"damaged.*tfrecords_builder\.verify"):
        make_dataset(records, "train", batch_size=4, training=True, cache=cache)
