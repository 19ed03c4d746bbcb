import numpy as np
import pytest
import tensorflow as tf

from pipeline.explanation import pictures
from pipeline.explanation.overlays import overlay
from tfrecords_builder import Preprocessing

BORDER = Preprocessing(border=0.1).region
TEXT = pictures.caption("PNEUMONIA", 0.973, 0.25, evidence=3.2, version=7, warning="no lungs found")


@pytest.fixture
def xray() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (600, 800), dtype=np.uint8)


@pytest.fixture
def heatmap() -> np.ndarray:
    return np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)


@pytest.fixture
def lungs() -> np.ndarray:
    inside = np.zeros((6, 6), np.float32)
    inside[1:5, 1:3] = 1
    return inside


def test_the_picture_is_that_of_the_exported_graph(heatmap, lungs):
    image = np.random.default_rng(1).integers(0, 256, (8, 8), dtype=np.uint8)

    expected = overlay(
        tf.constant(image[None, ..., None]), tf.constant(heatmap[None]), tf.constant(lungs[None, ..., None])
    )[0]

    np.testing.assert_allclose(pictures.with_heat(image, heatmap, lungs), expected, atol=1)


def test_cold_pixels_stay_gray_and_hot_ones_are_colored():
    heatmap = np.array([[0.0, 1.0]], np.float32)

    cold, hot = pictures.with_heat(np.full((1, 2), 100, np.uint8), heatmap)[0]

    assert cold.tolist() == [100, 100, 100]
    assert len(set(hot.tolist())) > 1


def test_the_picture_has_the_size_of_the_xray_and_text_above_it(xray, heatmap):
    picture = pictures.draw_explanation(xray, heatmap, BORDER, TEXT)

    height, width, channels = picture.shape
    assert (width, channels) == (800, 3)
    header = picture[: height - 600]
    assert 0.05 * 600 < len(header) < 0.3 * 600
    assert (header == 255).any()
    assert not header[:, -8:].any(), "the text ends before the edge"


def test_only_the_part_that_the_model_saw_is_colored_and_it_is_framed(xray, heatmap):
    picture = pictures.draw_explanation(xray, heatmap, BORDER, TEXT)[-600:]

    is_gray = (picture == picture[..., :1]).all(axis=-1)
    assert is_gray[:60].all()
    assert is_gray[540:].all()
    assert is_gray[:, :80].all()
    assert is_gray[:, 720:].all()
    assert is_gray[300:539, 81:719].mean() < 0.05
    np.testing.assert_array_equal(picture[:60, :, 0], xray[:60])
    assert (picture[60, 80:720] == 128).all()
    assert (picture[539, 80:720] == 128).all()


def test_the_lungs_are_outlined(xray, heatmap, lungs):
    cold = np.zeros_like(heatmap)

    plain, outlined = (pictures.draw_explanation(xray, cold, BORDER, TEXT, drawn) for drawn in (None, lungs))

    line = (plain != outlined).any(axis=-1)
    assert 0 < line.mean() < 0.02
    assert not line[:, 450:].any(), "the lungs of this test are in the left half"


def test_the_plain_xray_stands_beside_the_explained_one(xray, heatmap):
    picture = pictures.draw_explanation(xray, heatmap, BORDER, TEXT, beside_plain=True)

    assert picture.shape[1] == 1600
    np.testing.assert_array_equal(picture[-600:, :800, 1], xray)


@pytest.mark.parametrize(
    ("size", "shown"), [((64, 32), (512, 256)), ((8192, 16), (4096, 8)), ((512, 300), (512, 300))]
)
def test_very_small_and_very_large_xrays_get_a_size_that_can_be_looked_at(size, shown, heatmap):
    picture = pictures.draw_explanation(np.zeros(size, np.uint8), heatmap, BORDER, TEXT)

    assert picture.shape[1] == shown[1]
    assert picture.shape[0] >= shown[0]


def test_the_caption_says_what_is_known():
    assert pictures.caption("NORMAL", 0.0123) == ["NORMAL  probability of pneumonia 0.012"]
    assert TEXT == [
        "PNEUMONIA  probability of pneumonia 0.973, threshold 0.250",
        "colors: evidence for PNEUMONIA, strength 3.2, model version 7",
        "WARNING: no lungs found",
    ]
