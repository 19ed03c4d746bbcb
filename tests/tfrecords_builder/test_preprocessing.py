import numpy as np
import pytest
import tensorflow as tf

from tests.tfrecords_builder.image_files import image_files
from tfrecords_builder import Preprocessing

SIZES = [(200, 260), (64, 64), (40, 300), (300, 40), (33, 21)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("border", [0.0, 0.08, 0.3])
@pytest.mark.parametrize("in_graph", [False, True])
def test_opencv_and_tensorflow_differ_by_one_grey_level_at_most(size, border, in_graph):
    preprocessing = Preprocessing(48, border)
    in_tensorflow = preprocessing.apply_in_graph
    if in_graph:
        in_tensorflow = tf.function(in_tensorflow, input_signature=[tf.TensorSpec([], tf.string)])

    for kind, encoded in image_files(*size).items():
        ours = preprocessing.apply(encoded).astype(int)
        theirs = in_tensorflow(tf.constant(encoded)).numpy()[..., 0].astype(int)
        assert np.abs(ours - theirs).max() <= 1, kind


def test_opencv_and_tensorflow_on_real_originals(original_xrays):
    preprocessing = Preprocessing(64, 0.08)
    files = [path for path in sorted(original_xrays.rglob("*")) if path.is_file()]
    dataset = tf.data.Dataset.from_tensor_slices([path.read_bytes() for path in files])

    in_tensorflow = dataset.map(preprocessing.apply_in_graph).as_numpy_iterator()

    assert len(files) == 30
    for path, theirs in zip(files, in_tensorflow, strict=True):
        ours = preprocessing.apply(path.read_bytes()).astype(int)
        assert np.abs(ours - theirs[..., 0].astype(int)).max() <= 1, path.name


def test_cropping_and_area_averaging_computed_by_hand():
    image = np.zeros((40, 40), np.uint8)
    image[4:36, 4:36] = np.kron(np.arange(256).reshape(16, 16), np.ones((2, 2)))

    small = Preprocessing(16, 0.1).crop_and_resize(image)

    np.testing.assert_array_equal(small, np.arange(256).reshape(16, 16))


@pytest.mark.parametrize(
    "wrong", [{"image_size": 4}, {"image_size": 10000}, {"border": 0.5}, {"border": -0.1}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        Preprocessing(**wrong)
