"""Lung masks in the batches of every reader."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline.dataset import make_dataset
from pipeline.input import lung_masks
from pipeline.input.arrays import load_arrays, load_lungs
from tests.small_run import SIDE, middle
from tfrecords_builder import manifest
from tfrecords_builder.records import Record, deserialize, num_packed_bytes, pack_mask
from tfrecords_builder.shards import write_shard

EVERY_READER = pytest.mark.parametrize("reader", ["memory", "mapped", "streamed"])


def rewrite(records: str, split: str, change) -> None:
    """Replaces every record of a split by `change(number, record)`, and the sizes in `dataset.json`."""
    content = manifest.load(records)
    described, numbers, shards = content.splits[split], itertools.count(), []
    for shard in described.shards:
        path = str(Path(records) / shard.name)
        found = [deserialize(s) for s in tf.data.TFRecordDataset(path).as_numpy_iterator()]
        shards.append(write_shard(records, shard.name, [change(next(numbers), record) for record in found]))
    splits = content.splits | {split: dataclasses.replace(described, shards=tuple(shards))}
    Path(records, manifest.FILE_NAME).write_text(dataclasses.replace(content, splits=splits).to_json())


def with_different_masks(records: str) -> list[np.ndarray]:
    """Gives every record of train a mask of its own, every third one none; returns what batches then hold."""
    masks = np.random.default_rng(0).choice([-1, 1], (23, SIDE, SIDE)).astype(np.int8)
    masks[2::3] = 0

    def change(number: int, record: Record) -> Record:
        known = masks[number].any()
        return dataclasses.replace(record, lungs=pack_mask(masks[number] > 0) if known else b"")

    rewrite(records, "train", change)
    return list(masks)


@EVERY_READER
@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_every_image_comes_with_its_own_mask(write_records, reader, encoding):
    records = write_records({"train": 23}, encoding=encoding)
    expected = with_different_masks(records)
    images, _ = load_arrays(records, "train")
    by_pixels = dict(zip((i.tobytes() for i in images), expected, strict=True))

    dataset = make_dataset(records, "train", batch_size=5, training=True, reader=reader, lungs=True)

    assert dataset.element_spec[0][1].dtype == tf.int8
    assert dataset.element_spec[0][1].shape == (None, SIDE, SIDE, 1)
    seen = 0
    for (pixels, lungs), labels in dataset.as_numpy_iterator():
        assert len(pixels) == len(lungs) == len(labels)
        for image, mask in zip(pixels, lungs, strict=True):
            np.testing.assert_array_equal(mask[..., 0], by_pixels[image.tobytes()])
            seen += 1
    assert seen == 23


@EVERY_READER
def test_records_without_masks_have_unknown_lungs(write_records, reader):
    records = write_records({"val": 6}, lungs=False)

    ((_, lungs), _) = next(
        make_dataset(
            records, "val", batch_size=6, training=False, reader=reader, lungs=True
        ).as_numpy_iterator()
    )

    assert not lungs.any()
    assert not load_lungs(records, "val").known.any()


@EVERY_READER
def test_images_and_order_do_not_depend_on_the_masks(write_records, reader):
    records = write_records({"train": 20})
    with_lungs, without = (
        make_dataset(records, "train", batch_size=4, training=True, seed=3, reader=reader, lungs=lungs)
        for lungs in (True, False)
    )

    for ((images, _), labels), (others, other_labels) in zip(
        with_lungs.as_numpy_iterator(), without.as_numpy_iterator(), strict=True
    ):
        np.testing.assert_array_equal(images, others)
        np.testing.assert_array_equal(labels, other_labels)


def test_a_whole_split(write_records):
    records = write_records({"test": 5})

    lungs = load_lungs(records, "test")

    assert lungs.known.all()
    np.testing.assert_array_equal(lungs[:], np.broadcast_to(middle(), (5, SIDE, SIDE)))
    np.testing.assert_array_equal(lungs.take(np.array([3, 0]))[1:], [middle()])


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("side", [3, 8, 13])
def test_unpacking_is_what_numpy_does(side, in_graph):
    bits = np.random.default_rng(side).integers(0, 2, (4, side * side), dtype=np.uint8)
    packed, known = np.packbits(bits, axis=1), np.array([True, False, True, True])
    assert packed.shape[1] == num_packed_bytes(side)

    unpack = tf.function(lung_masks.unpack) if in_graph else lung_masks.unpack
    lungs = unpack(tf.constant(packed), tf.constant(known), side).numpy()

    expected = (2 * bits.astype(np.int8) - 1).reshape(4, side, side, 1)
    expected[1] = 0
    np.testing.assert_array_equal(lungs, expected)


def test_a_mask_of_another_size_is_refused(write_records):
    records = write_records({"val": 4})
    rewrite(records, "val", lambda number, record: dataclasses.replace(record, lungs=record.lungs[number:]))

    with pytest.raises(tf.errors.OpError, match="record 1 has no lung mask of 128 bytes"):
        list(make_dataset(records, "val", batch_size=4, training=False, reader="mapped", lungs=True))
