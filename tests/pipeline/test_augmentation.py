import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.augmentation import (
    AcquisitionAugmentation,
    affine_transforms,
)
from pipeline.training.settings import AugmentationConfig

SIDE = 48
NO_CHANGE = dict.fromkeys(AugmentationConfig.__dataclass_fields__, 0.0)


@pytest.fixture
def smooth_image() -> np.ndarray:
    noise = np.random.default_rng(3).uniform(0, 1, (SIDE, SIDE)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 3)


@pytest.mark.parametrize("in_graph", [False, True])
def test_resampling_is_what_opencv_warps(smooth_image, in_graph):
    angle, scale, aspect, shear, shift_x, shift_y = 0.12, 1.1, 0.93, 0.07, 2.5, -3.25

    def resample(images):
        transforms = affine_transforms(
            angle=tf.constant([angle]),
            scale=tf.constant([scale]),
            aspect=tf.constant([aspect]),
            shear=tf.constant([shear]),
            shift_x=tf.constant([shift_x]),
            shift_y=tf.constant([shift_y]),
            side=SIDE,
        )
        return keras.ops.image.affine_transform(images, transforms, "bilinear", "constant")

    ours = (tf.function(resample) if in_graph else resample)(smooth_image[None, ..., None])

    # Output to input, composed by hand from the meaning of each parameter.
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    sheared = turn + np.array([[0, shear], [0, 0]])
    linear = np.diag([1 / (scale * aspect), aspect / scale]) @ sheared
    center = np.full(2, (SIDE - 1) / 2)
    matrix = np.column_stack([linear, center - linear @ (center + np.array([shift_x, shift_y]))])
    expected = cv2.warpAffine(
        smooth_image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    inside = slice(8, -8)  # OpenCV blends the outermost pixel with the border otherwise
    np.testing.assert_allclose(ours[0, inside, inside, 0], expected[inside, inside], atol=5e-3)


def test_inference_leaves_images_alone(images):
    layer = AcquisitionAugmentation(AugmentationConfig())

    np.testing.assert_array_equal(layer(images, training=False), images.astype(np.float32))


def test_in_validation_images_are_changed_in_the_same_way_each_time(images):
    layer = AcquisitionAugmentation(AugmentationConfig(), in_validation=True)

    first, second = (np.asarray(layer(images, training=False)) for _ in range(2))

    np.testing.assert_array_equal(first, second)
    assert np.abs(first - images).mean() > 1


def test_changes_of_size_zero_leave_images_alone(images):
    layer = AcquisitionAugmentation(AugmentationConfig(**NO_CHANGE))

    np.testing.assert_allclose(layer(images, training=True), images, atol=1e-2)


def test_every_image_is_changed_in_its_own_way_and_stays_in_range(images):
    same = np.repeat(images[:1], 8, axis=0)

    augmented = np.asarray(AcquisitionAugmentation(AugmentationConfig(), seed=1)(same, training=True))

    assert augmented.dtype == np.float32
    assert augmented.min() >= 0
    assert augmented.max() <= 255
    assert len({image.tobytes() for image in augmented}) == 8


def test_the_same_seed_gives_the_same_images_eagerly_and_in_a_graph(images):
    def augmented(function_of):
        layer = AcquisitionAugmentation(AugmentationConfig(), seed=7)
        return np.asarray(function_of(lambda batch: layer(batch, training=True))(tf.constant(images)))

    np.testing.assert_allclose(augmented(tf.function), augmented(lambda function: function), atol=1e-3)


def test_brightness_and_contrast_do_what_they_say():
    gray = np.full((64, 16, 16, 1), 127.5, np.float32)
    only_brightness = AugmentationConfig(**NO_CHANGE | {"brightness": 0.2})

    shifts = np.asarray(AcquisitionAugmentation(only_brightness)(gray, training=True)).mean((1, 2, 3)) - 127.5

    assert np.abs(shifts).max() <= 0.2 * 255 + 1e-3
    assert shifts.min() < -0.1 * 255 < 0.1 * 255 < shifts.max()


def halves(side: int = 16, count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Images that differ in their level, and lungs in their left halves."""
    images = np.repeat(np.linspace(20, 230, count, dtype=np.float32), side * side).reshape(
        count, side, side, 1
    )
    lungs = np.full((count, side, side, 1), -1, np.int8)
    lungs[:, :, : side // 2] = 1
    return images, lungs


@pytest.mark.parametrize("training", [True, False])
def test_lungs_are_moved_with_their_image(training):
    moves = {"rotation": 20.0, "scale": 0.3, "anisotropy": 0.2, "shift": 0.2}
    layer = AcquisitionAugmentation(AugmentationConfig(**NO_CHANGE | moves), in_validation=True)
    _, lungs = halves(32)
    images = np.where(lungs > 0, 200, 50).astype(np.float32)

    moved, moved_lungs = (np.asarray(x) for x in layer(images, lungs, training=training))

    np.testing.assert_allclose(moved, 125 + 75 * moved_lungs, atol=1.0)
    assert np.abs(moved_lungs - lungs).max() > 0.5


def test_unknown_lungs_stay_unknown():
    images, lungs = halves()

    _, moved = AcquisitionAugmentation(AugmentationConfig())(images, 0 * lungs, training=True)

    assert not np.asarray(moved).any()


def test_without_lungs_images_are_augmented_alike():
    images, lungs = halves()
    config = AugmentationConfig(surroundings_exchange=0.0)

    alone, (beside, _) = (
        AcquisitionAugmentation(config, seed=5)(images, *extra, training=True) for extra in ((), (lungs,))
    )

    np.testing.assert_allclose(alone, beside, atol=1e-3)


def test_the_border_of_the_next_image_replaces_the_ring():
    images, _ = halves(side=50)
    layer = AcquisitionAugmentation(AugmentationConfig(**NO_CHANGE | {"border_exchange": 1.0}))

    exchanged = np.asarray(layer(images, training=True))

    widths = set()
    for image, own, other in zip(exchanged, images, np.roll(images, 1, axis=0), strict=True):
        replaced = np.abs(image - other[0, 0]) < 0.5
        assert (replaced | (np.abs(image - own[0, 0]) < 0.5)).all()
        width = int(replaced[25, :25].sum())
        ring = np.ones((50, 50), bool)
        ring[width:-width, width:-width] = False
        np.testing.assert_array_equal(replaced[..., 0], ring)
        widths.add(width)
    assert min(widths) >= 0.04 * 50 - 1
    assert max(widths) <= 0.14 * 50 + 1
    assert len(widths) > 1


def test_so_many_borders_are_exchanged_as_asked_for():
    images = np.arange(400, dtype=np.float32).reshape(400, 1, 1, 1) % 250 * np.ones((1, 8, 8, 1), np.float32)
    layer = AcquisitionAugmentation(AugmentationConfig(**NO_CHANGE | {"border_exchange": 0.25}))

    exchanged = np.asarray(layer(images, training=True))

    assert 0.17 < (np.abs(exchanged - images).max((1, 2, 3)) > 0.5).mean() < 0.33


def test_surroundings_come_from_the_next_image_at_the_same_level():
    generator = np.random.default_rng(0)
    images = generator.uniform(80, 150, (6, 16, 16, 1)).astype(np.float32) + 10 * np.arange(6).reshape(
        6, 1, 1, 1
    )
    _, lungs = halves(count=6)
    lungs[2] = 0  # nobody knows
    layer = AcquisitionAugmentation(AugmentationConfig(**NO_CHANGE | {"surroundings_exchange": 1.0}))

    exchanged, _ = (np.asarray(x) for x in layer(images, lungs, training=True))

    for number, (image, own, other) in enumerate(
        zip(exchanged, images, np.roll(images, 1, axis=0), strict=True)
    ):
        np.testing.assert_allclose(image[:, :8], own[:, :8], atol=0.1)
        outside = slice(8, None)
        expected = other[:, outside] - other[:, outside].mean() + own[:, outside].mean()
        np.testing.assert_allclose(image[:, outside], own[:, outside] if number == 2 else expected, atol=0.1)


def test_it_is_saved_and_loaded_with_its_settings():
    config = AugmentationConfig(rotation=3.0)
    layer = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(AcquisitionAugmentation(config, seed=4))
    )

    assert (layer.config, layer.seed) == (config, 4)
