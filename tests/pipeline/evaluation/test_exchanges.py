import numpy as np
import pytest

from pipeline.evaluation import exchanges

SIDE = 20


def marked(labels, rows, columns) -> np.ndarray:
    """Gray images; those labeled 1 are bright in a place."""
    images = np.full((len(labels), SIDE, SIDE, 1), 100, np.uint8)
    for image, label in zip(images, labels, strict=True):
        if label:
            image[rows, columns] = 250
    return images


def brightest(images) -> np.ndarray:
    """Stands for a model that only sees whether anything is bright."""
    return (images.max(axis=(1, 2, 3)) > 200).astype(np.float32)


@pytest.fixture
def labels() -> np.ndarray:
    return np.arange(40) % 2


@pytest.fixture
def lungs() -> np.ndarray:
    lungs = np.zeros((40, SIDE, SIDE), bool)
    lungs[:, 6:14, 6:14] = True
    return lungs


@pytest.mark.parametrize(
    ("place", "excess"), [((0, 0), (1.0, 1.0)), ((4, 4), (0.0, 1.0)), ((9, 9), (0.0, 0.0))]
)
def test_the_excess_is_what_a_region_tells_of_the_class(make_predictions, labels, lungs, place, excess):
    images = marked(labels, *place)
    predictions = make_predictions(labels, brightest(images))

    measured = exchanges.measure(predictions, images, lungs, np.ones(40, bool), brightest).exchange

    for region, expected in zip(("border", "outside the lungs"), excess, strict=True):
        assert measured[region].images == 40
        for flips in (measured[region].at_half, measured[region].at_operating_point):
            assert (flips.opposite_class, flips.same_class, flips.excess) == (expected, 0.0, expected)


def test_only_images_with_a_mask_get_other_surroundings(make_predictions, labels, lungs):
    images = marked(labels, 4, 4)
    predictions = make_predictions(labels, brightest(images))
    known = np.arange(40) < 30

    measured = exchanges.measure(predictions, images, lungs, known, brightest).exchange

    assert measured["outside the lungs"].images == 30
    without = exchanges.measure(predictions, images, lungs, np.zeros(40, bool), brightest).exchange
    assert list(without) == ["border"]


def test_the_level_is_matched_and_the_rest_stays():
    generator = np.random.default_rng(1)
    images, others = generator.integers(60, 120, (2, 3, SIDE, SIDE, 1), dtype=np.uint8)
    region = np.zeros((3, SIDE, SIDE), bool)
    region[:, :5] = True

    exchanged = exchanges.exchange(images, others + 80, region, match_level=True)

    np.testing.assert_array_equal(exchanged[:, 5:], images[:, 5:])
    np.testing.assert_allclose(exchanged[:, :5].mean((1, 2, 3)), images[:, :5].mean((1, 2, 3)), atol=0.5)
    centered = others[:, :5] - others[:, :5].mean((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(
        exchanged[:, :5] - exchanged[:, :5].mean((1, 2, 3), keepdims=True), centered, atol=1
    )
