"""The distances to the training images, against an independent computation."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.distance import mahalanobis

from pipeline.suitability import reference
from pipeline.suitability.assessment import NO_LUNGS, UNFAMILIAR, UNKNOWN, assess

FEATURES = 5


@pytest.fixture(scope="module")
def training() -> tuple[np.ndarray, np.ndarray]:
    """Correlated features of two classes."""
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(FEATURES, FEATURES))
    labels = (np.arange(600) % 3 == 0).astype(np.float32)
    features = generator.normal(size=(600, FEATURES)) @ mixing + labels[:, None] * [3, 0, 0, 1, 0]
    return features.astype(np.float32), labels


@pytest.fixture(scope="module")
def fitted(training):
    features, labels = training
    areas = np.linspace(0.2, 0.6, 200)
    return reference.fit([features[:400]], labels[:400], [features[400:]], areas)


def distances(training, features: np.ndarray) -> np.ndarray:
    """The smaller of the Mahalanobis distances to both classes, by SciPy."""
    known, labels = training[0][:400].astype(np.float64), training[1][:400]
    means = [known[labels == label].mean(axis=0) for label in (0, 1)]
    within = np.concatenate([known[labels == label] - means[label] for label in (0, 1)])
    deviation = known.std(axis=0)
    correlation = (within / deviation).T @ (within / deviation) / len(within)
    correlation = (1 - reference.SHRINKAGE) * correlation + reference.SHRINKAGE * np.eye(FEATURES)
    inverse = np.linalg.inv(correlation * np.outer(deviation, deviation))
    return np.array([min(mahalanobis(row, mean, inverse) for mean in means) for row in features])


def test_the_distances_are_mahalanobis_distances_to_the_nearer_class(training, fitted):
    np.testing.assert_allclose(
        fitted.descriptions[0].distances, np.sort(distances(training, training[0][400:])), rtol=1e-4
    )


@pytest.mark.parametrize("in_graph", [False, True])
def test_familiarity_is_the_share_of_less_typical_validation_images(training, fitted, in_graph):
    generator = np.random.default_rng(1)
    features = (training[0][:50] + generator.normal(0, 1, (50, FEATURES))).astype(np.float32)

    def familiarity(batch):
        return assess([batch], None, fitted).familiarity

    found = (tf.function(familiarity) if in_graph else familiarity)(tf.constant(features)).numpy()

    of_validation = distances(training, training[0][400:])
    expected = [(of_validation > distance).mean() for distance in distances(training, features)]
    np.testing.assert_allclose(found, expected, atol=0.006)  # one of 200 images may be as far
    assert found.min() < 0.2
    assert found.max() > 0.8


def test_what_is_far_away_gets_a_warning(training, fitted):
    features = np.stack([training[0][0], np.full(FEATURES, 1e3, np.float32)])

    assessment = assess([tf.constant(features)], None, fitted)

    assert assessment.warning.numpy().tolist() == [b"", UNFAMILIAR.encode()]
    assert assessment.familiarity.numpy()[1] == 0
    np.testing.assert_array_equal(assessment.lung_area, [UNKNOWN, UNKNOWN])


def test_about_one_percent_of_the_validation_images_get_a_warning(training, fitted):
    warnings = assess([tf.constant(training[0][400:])], None, fitted).warning.numpy()

    assert (warnings == UNFAMILIAR.encode()).sum() in (1, 2, 3)


def test_without_lungs_that_is_said_first(training, fitted):
    features = np.stack([training[0][0], np.full(FEATURES, 1e3, np.float32), training[0][0]])
    lungs = np.zeros((3, 4, 4, 1), np.float32)
    lungs[2] = 0.3

    assessment = assess([tf.constant(features)], tf.constant(lungs), fitted)

    assert assessment.warning.numpy().tolist() == [NO_LUNGS.encode()] * 2 + [b""]
    np.testing.assert_allclose(assessment.lung_area, [0, 0, 0.3])


def test_a_run_of_an_earlier_version_warns_of_nothing(training):
    assessment = assess([tf.constant(training[0][:3])], None, None)

    assert assessment.warning.numpy().tolist() == [b""] * 3
    np.testing.assert_array_equal(assessment.familiarity, [UNKNOWN] * 3)


def test_features_that_never_change_are_no_obstacle(training):
    features, labels = training
    constant = np.concatenate([features, np.ones((600, 1), np.float32)], axis=1)

    fitted = reference.fit([constant[:400]], labels[:400], [constant[400:]], None)

    assert np.isfinite(fitted.descriptions[0].distances).all()
    assert fitted.smallest_lung_area == 0


@pytest.mark.parametrize("place", ["folder", "url"])
def test_it_is_read_as_it_was_written(fitted, tmp_path, place):
    run = str(tmp_path) if place == "folder" else "ram://reference"

    fitted.save(run)
    read = reference.load(run)

    assert len(read.descriptions) == len(fitted.descriptions)
    for there, here in zip(read.descriptions, fitted.descriptions, strict=True):
        for name, value in vars(here).items():
            np.testing.assert_array_equal(getattr(there, name), value)
    np.testing.assert_array_equal(read.farther, fitted.farther)
    assert read.smallest_lung_area == fitted.smallest_lung_area
    assert reference.load(f"{run}/nothing") is None


def test_the_description_that_finds_an_image_less_typical_decides(training, fitted):
    features, labels = training
    other = np.roll(features, 1, axis=1) + np.random.default_rng(2).normal(0, 1, features.shape)
    other = other.astype(np.float32)
    both = reference.fit([features[:400], other[:400]], labels[:400], [features[400:], other[400:]], None)
    near, far = features[:1], np.full((1, FEATURES), 1e3, np.float32)

    assessed = {
        name: assess([tf.constant(first), tf.constant(second)], None, both).familiarity.numpy()[0]
        for name, (first, second) in {
            "near": (near, other[:1]),
            "first is far": (far, other[:1]),
            "second is far": (near, far),
        }.items()
    }
    of_validation = assess([tf.constant(features[400:]), tf.constant(other[400:])], None, both)

    assert assessed["near"] > 0.01
    assert assessed["first is far"] == assessed["second is far"] == 0
    assert (of_validation.warning.numpy() != b"").sum() in (1, 2, 3), "1 % of 200, as with one description"


def test_a_reference_of_an_earlier_version_is_read(fitted, tmp_path):
    (only,) = fitted.descriptions
    np.savez(tmp_path / reference.FILE_NAME, **vars(only), smallest_lung_area=fitted.smallest_lung_area)

    read = reference.load(str(tmp_path))

    np.testing.assert_array_equal(read.farther, fitted.farther)
    assert len(read.descriptions) == 1
