from collections import Counter

import numpy as np
import pytest
from scipy import stats

from pipeline.dataset import load_arrays, load_origins, make_dataset
from tfrecords_builder.command import UserError


def identities(dataset) -> list[bytes]:
    return [image.tobytes() for images, _ in dataset.as_numpy_iterator() for image in images]


@pytest.mark.parametrize("cache", ["ram", "none"])
@pytest.mark.parametrize("shards", [1, 3, 17])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_an_epoch_holds_every_record_exactly_once(write_records, cache, shards, batch_size):
    records = write_records({"train": 41}, shards=shards)
    stored = Counter(image.tobytes() for image in load_arrays(records, "train")[0].numpy())

    for training in (True, False):
        dataset = make_dataset(records, "train", batch_size=batch_size, training=training, cache=cache)
        assert Counter(identities(dataset)) == stored
        assert dataset.cardinality() == -(-41 // batch_size)


@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_batches_have_the_promised_types_and_pixels(write_records, encoding):
    records = write_records({"val": 10}, encoding=encoding)
    images, labels = load_arrays(records, "val")

    dataset = make_dataset(records, "val", batch_size=4, training=False, cache="none")

    batches = list(dataset.as_numpy_iterator())
    assert [(b.shape, b.dtype, y.shape, y.dtype) for b, y in batches] == [
        ((n, 32, 32, 1), np.uint8, (n,), np.float32) for n in (4, 4, 2)
    ]
    np.testing.assert_array_equal(np.concatenate([b for b, _ in batches]), images)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), labels)


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_order_changes_with_each_epoch_and_is_the_same_for_the_same_seed(records, cache):
    def order(**arguments):
        return identities(
            make_dataset(records, "train", batch_size=8, training=True, cache=cache, **arguments)
        )

    assert order(seed=1) == order(seed=1)
    assert order(seed=1) != order(seed=2)
    first, second = order(seed=1), order(seed=1, first_epoch=1)
    assert first != second
    assert order(seed=1, epochs=2) == first + second


def test_every_position_of_a_shuffled_epoch_is_as_likely_for_every_record(write_records):
    count, epochs = 12, 400
    records = write_records({"train": count}, shards=1)
    names = {image.tobytes(): n for n, image in enumerate(load_arrays(records, "train")[0].numpy())}
    dataset = make_dataset(
        records, "train", batch_size=count, training=True, cache="ram", seed=5, epochs=epochs
    )
    places = np.zeros((count, count))
    for images, _ in dataset.as_numpy_iterator():
        for place, image in enumerate(images):
            places[names[image.tobytes()], place] += 1

    statistic = ((places - epochs / count) ** 2 / (epochs / count)).sum()

    assert statistic < stats.chi2.ppf(0.9999, (count - 1) ** 2)


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
