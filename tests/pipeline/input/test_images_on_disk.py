import numpy as np
import pytest

from pipeline.input import arrays
from pipeline.input.arrays import load_arrays, load_images
from pipeline.input.images_on_disk import ImagesOnDisk


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (600, 5, 5, 1), dtype=np.uint8)


@pytest.fixture
def on_disk(images) -> ImagesOnDisk:
    stored = ImagesOnDisk(5)
    stored.append(images[:7])
    stored.append(images[7:])
    return stored


@pytest.mark.parametrize(
    "rows",
    [
        3,
        -1,
        np.int64(599),
        slice(None),
        slice(590, 700),
        slice(700, 800),
        slice(0, 10, 3),
        np.array([5, 5, 0]),
        np.arange(600) % 2 == 0,
        np.array([], np.int64),
    ],
    ids=lambda rows: str(rows)[:20],
)
def test_it_is_indexed_as_an_array(on_disk, images, rows):
    np.testing.assert_array_equal(on_disk[rows], images[rows])


def test_all_images_come_in_their_order(on_disk, images):
    assert on_disk.shape == images.shape
    assert len(on_disk) == len(images)
    np.testing.assert_array_equal(list(on_disk), images)


def test_a_position_that_is_not_there_is_refused(on_disk):
    with pytest.raises(IndexError):
        on_disk[600]


def test_a_split_above_the_limit_is_kept_on_disk(records, monkeypatch):
    in_memory, labels = load_images(records, "test")
    monkeypatch.setattr(arrays, "IN_MEMORY", 1000)

    on_disk, same_labels = load_images(records, "test")

    assert isinstance(on_disk, ImagesOnDisk)
    np.testing.assert_array_equal(in_memory, load_arrays(records, "test")[0])
    np.testing.assert_array_equal(on_disk[:], in_memory)
    np.testing.assert_array_equal(same_labels, labels)
