"""How well the records of an epoch are shuffled."""

import numpy as np
import pytest
from scipy import stats

from pipeline.dataset import make_dataset
from pipeline.input import shuffling
from tests.pipeline.input.contents import images_of, stored_positions


@pytest.mark.parametrize("reader", ["memory", "mapped", "streamed"])
def test_every_position_in_an_epoch_is_as_likely_for_every_record(write_records, reader):
    count, epochs = 12, 400
    records = write_records({"train": count}, shards=2)
    positions = stored_positions(records)
    dataset = make_dataset(
        records, "train", batch_size=count, training=True, reader=reader, seed=5, epochs=epochs
    )
    places = np.zeros((count, count))
    for images, _ in dataset.as_numpy_iterator():
        for place, image in enumerate(images):
            places[positions[image.tobytes()], place] += 1

    statistic = ((places - epochs / count) ** 2 / (epochs / count)).sum()

    assert statistic < stats.chi2.ppf(0.9999, (count - 1) ** 2)


@pytest.fixture(scope="module")
def stored(write_records):
    """Records of 8 shards of 50, and the position of each image among them."""
    records = write_records({"train": 400}, shards=8)
    return records, stored_positions(records)


def streamed_order(stored, buffer_records):
    """The positions of the records in one epoch of the streamed reader."""
    records, positions = stored
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shuffling, "SHUFFLE_BUFFER_RECORDS", buffer_records)
        dataset = make_dataset(records, "train", batch_size=50, training=True, reader="streamed", seed=1)
        return [positions[image] for image in images_of(dataset)]


def test_a_buffer_smaller_than_the_split_mixes_it_well(stored):
    order = np.array(streamed_order(stored, buffer_records=100))

    assert sorted(order) == list(range(400))
    assert 0.25 < np.abs(order - np.arange(400)).mean() / 400 < 0.42  # a true shuffle: one third
    assert (np.abs(np.diff(order)) == 1).sum() < 12  # a true shuffle: 2


def test_the_buffer_moves_records_by_about_its_length(stored):
    place_before = {record: place for place, record in enumerate(streamed_order(stored, buffer_records=1))}

    order = streamed_order(stored, buffer_records=100)
    moved = np.array([place_before[record] - place for place, record in enumerate(order)])

    assert 90 <= moved.max() < 100  # nothing that is not yet in the buffer can be drawn from it
    assert 50 < np.abs(moved).mean() < 100
