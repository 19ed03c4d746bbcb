"""The lung finder that is shipped with the package."""

from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import cv2
import numpy as np
import pytest

from tests.conftest import SHARED
from tfrecords_builder import Preprocessing
from tfrecords_builder.lungs import find_lungs
from tfrecords_builder.lungs.train import dice
from tfrecords_builder.source.lung_masks import read_mask
from tfrecords_builder.synthetic_xray import draw

MAX_BYTES = 512 * 1024


def synthetic(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A synthetic X-ray that it was not trained on, and its lungs."""
    picture, _, mask = draw(
        np.random.default_rng((77, number)),
        number % 2,
        viral=number % 4 == 1,
        mean_height=200,
        contrast=0.22,
        marker_strength=0.0,
    )
    return picture, mask


@pytest.mark.parametrize("border", [0.0, 0.08, 0.15])
@pytest.mark.parametrize("side", [16, 32, 64, 96, 224])
def test_it_finds_the_lungs_of_synthetic_xrays(side, border):
    preprocessing = Preprocessing(side, border)
    values = []
    for number in range(8):
        picture, mask = synthetic(number)
        (found,) = find_lungs([preprocessing.crop_and_resize(picture)])
        assert found.dtype == bool
        assert found.shape == (side, side)
        drawn = preprocessing.crop_and_resize(np.where(mask, 255, 0).astype(np.uint8)) >= 128
        values.append(dice(found, drawn))

    assert min(values) > 0.9
    assert np.mean(values) > 0.95


def test_threads_find_what_one_finds():
    pictures = [Preprocessing(64).crop_and_resize(synthetic(number)[0]) for number in range(24)]
    alone = [find_lungs([picture])[0] for picture in pictures]

    with ThreadPoolExecutor(6) as pool:
        parts = [pictures[first : first + 3] for first in range(0, len(pictures), 3)]
        found = [mask for masks in pool.map(find_lungs, parts * 3) for mask in masks]
        for mask, expected in zip(found, alone * 3, strict=True):
            np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_threads_of_opencv_change_nothing(threads):
    pictures = [Preprocessing(96).crop_and_resize(synthetic(number)[0]) for number in range(4)]
    expected = find_lungs(pictures)
    former = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        with ThreadPoolExecutor(1) as pool:  # a new thread has a new network
            found = pool.submit(find_lungs, pictures).result()
    finally:
        cv2.setNumThreads(former)

    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((64, 64), np.float32),
        np.zeros((64, 64), np.uint16),
        np.zeros((0, 0), np.uint8),
    ],
)
def test_what_is_no_gray_image_is_refused(pixels):
    with pytest.raises(ValueError, match="pixels must be a gray image, uint8"):
        find_lungs([pixels])


@pytest.mark.parametrize("gray", [0, 128, 255])
def test_a_blank_image_has_no_lungs(gray):
    xray = Preprocessing(64).crop_and_resize(synthetic(1)[0])
    blank, lungs = find_lungs([np.full((64, 64), gray, np.uint8), xray])

    assert not blank.any()
    assert lungs.any()


def test_images_of_several_sizes_are_drawn_together_as_alone():
    pictures = [Preprocessing(side).crop_and_resize(synthetic(side)[0]) for side in (16, 64, 96, 224)]

    for found, picture in zip(find_lungs(pictures), pictures, strict=True):
        np.testing.assert_array_equal(found, find_lungs([picture])[0])


def test_without_images_there_are_no_masks():
    assert find_lungs([]) == []


def test_it_is_small():
    assert len(files("tfrecords_builder.lungs").joinpath("finder.onnx").read_bytes()) < MAX_BYTES


def test_it_finds_the_lungs_that_people_drew():
    """Every tenth test image; none of them was used in its training."""
    source, masks = SHARED / "data/chest_xray_224/test", SHARED / "data/lung_masks_224/test"
    if not masks.is_dir():
        pytest.skip("needs the real X-rays and lung masks, which are not part of the repository")
    preprocessing = Preprocessing(96)
    values = []
    for path in sorted(source.rglob("*.jp*g"))[::10]:
        drawn = read_mask(str(masks / path.parent.name / f"{path.stem}.png"), preprocessing)
        if drawn is not None:
            (found,) = find_lungs([preprocessing.apply(path.read_bytes())])
            values.append(dice(found, drawn))

    assert len(values) > 20
    assert np.mean(values) > 0.95


def test_dice_by_hand():
    first, second = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert dice(first, second) == 1
    first[:2], second[1:3] = True, True
    assert dice(first, second) == 0.5


def test_an_image_is_scaled_by_its_own_mean_and_deviation():
    picture = Preprocessing(64).crop_and_resize(synthetic(1)[0])
    darker = cv2.convertScaleAbs(picture, alpha=0.6, beta=10)

    assert dice(*find_lungs([picture, darker])) > 0.98
