import numpy as np
import pytest

from pipeline.evaluation.part import Subject
from pipeline.input.arrays import Masks


@pytest.fixture
def subject(predictions) -> Subject:
    """120 images of 4x4 pixels whose gray level is their position, with lungs in every other one."""
    images = np.repeat(np.arange(120, dtype=np.uint8), 16).reshape(120, 4, 4, 1)
    masks = (images[..., 0] % 2).astype(bool)
    return Subject(
        run=None,
        images=images,
        predictions=predictions,
        batch_size=8,
        lungs=Masks.pack(masks),
        records=None,
        trained_with=None,
        prevalences=(),
        lesions=Masks.pack(~masks),
    )


def test_a_sample_is_evenly_spaced_and_keeps_what_belongs_together(subject):
    some = subject.sample(40)

    positions = some.images[:, 0, 0, 0]
    assert len(positions) == 40
    assert (positions[0], positions[-1]) == (0, 119)
    assert set(np.diff(positions)) <= {3, 4}
    assert some.predictions.sources == tuple(f"{position}.png" for position in positions)
    np.testing.assert_array_equal(some.predictions.labels, subject.predictions.labels[positions])
    np.testing.assert_array_equal(some.lungs[:].any(axis=(1, 2)), positions % 2 == 1)
    np.testing.assert_array_equal(some.lungs.known, positions % 2 == 1)
    np.testing.assert_array_equal(some.lesions.known, positions % 2 == 0)


def test_a_small_split_is_measured_whole(subject):
    assert subject.sample(120) is subject
