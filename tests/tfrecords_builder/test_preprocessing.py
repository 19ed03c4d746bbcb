import functools
import hashlib
import json

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests.tfrecords_builder.image_files import image_files
from tfrecords_builder import Preprocessing, synthetic_xray
from tfrecords_builder.decoding.reduction import reduction
from tfrecords_builder.manifest import Manifest

SIZES = [(200, 260), (64, 64), (40, 300), (300, 40), (33, 21)]
REDUCED_SIZES = {2: (150, 260), 4: (300, 260), 8: (500, 470)}
"""Sizes of images by the factor by which JPEGs are reduced when they become 16x16 pixels."""


def assert_nearly_equal(preprocessing, in_tensorflow, size):
    for kind, encoded in image_files(*size).items():
        ours = preprocessing.apply(encoded).astype(int)
        theirs = in_tensorflow(tf.constant(encoded)).numpy()[..., 0].astype(int)
        assert np.abs(ours - theirs).max() <= 1, kind


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("border", [0.0, 0.08, 0.3])
def test_opencv_and_tensorflow_differ_by_one_gray_level_at_most(size, border):
    assert_nearly_equal(Preprocessing(48, border), in_graph(border), size)


@functools.cache
def in_graph(border):
    preprocessing = Preprocessing(48, border)
    return tf.function(preprocessing.apply_in_graph, input_signature=[tf.TensorSpec([], tf.string)])


@pytest.mark.parametrize("factor", REDUCED_SIZES)
def test_so_do_they_if_jpegs_are_reduced(factor):
    preprocessing, (height, width) = Preprocessing(16, 0.08), REDUCED_SIZES[factor]
    in_tensorflow = tf.function(preprocessing.apply_in_graph, input_signature=[tf.TensorSpec([], tf.string)])

    assert reduction(height, width, preprocessing.smallest_side) == factor
    assert_nearly_equal(preprocessing, in_tensorflow, (height, width))


def test_a_reduced_jpeg_becomes_nearly_the_same_pixels():
    xray, _, _ = synthetic_xray.draw(
        np.random.default_rng(0), 1, viral=True, mean_height=400, contrast=0.3, marker_strength=0
    )
    encoded = cv2.imencode(".jpg", xray)[1].tobytes()
    scaled, full = (Preprocessing(32, 0.08, jpeg_decoding=rule) for rule in ("scaled", "full"))

    pixels, height, width = scaled.apply_and_measure(encoded)

    assert (height, width) == xray.shape
    assert 0 < np.abs(pixels.astype(int) - full.apply(encoded)).mean() < 1
    assert scaled.decode(encoded).shape == xray.shape


@pytest.mark.parametrize("sixteen_bits", ["range", "high_byte"])
def test_so_do_they_if_tensorflow_runs_eagerly(sixteen_bits):
    preprocessing = Preprocessing(48, 0.08, sixteen_bits)

    assert_nearly_equal(preprocessing, preprocessing.apply_in_graph, (40, 300))


@pytest.mark.parametrize("jpeg_decoding", ["scaled", "full"])
def test_opencv_and_tensorflow_on_real_originals(original_xrays, jpeg_decoding):
    preprocessing = Preprocessing(64, 0.08, jpeg_decoding=jpeg_decoding)
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
    "wrong",
    [
        {"image_size": 4},
        {"image_size": 10000},
        {"border": 0.5},
        {"border": -0.1},
        {"sixteen_bits": "low_byte"},
        {"jpeg_decoding": "half"},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        Preprocessing(**wrong)


# dataset.json as it was before images with 16 bits per sample had a choice.
OLD = """{
  "preprocessing": {
    "image_size": 32,
    "border": 0.1
  },
  "encoding": "raw",
  "builder_version": "0.1.0",
  "arguments": {},
  "splits": {},
  "left_out": [],
  "class_names": [
    "NORMAL",
    "PNEUMONIA"
  ],
  "format_version": 1,
  "sha256": "SHA256"
}
"""


def test_records_of_before_keep_their_rules():
    fields = json.loads(OLD)
    del fields["sha256"]
    digest = hashlib.sha256((json.dumps(fields, indent=2) + "\n").encode()).hexdigest()
    old = OLD.replace("SHA256", digest)

    content = Manifest.from_json(old)

    assert content.preprocessing == Preprocessing(32, 0.1, "high_byte", "full")
    assert content.to_json() == old


def test_new_records_say_their_rules():
    content = Manifest(Preprocessing(32, 0.1), "raw", "test", {}, {})

    fields = json.loads(content.to_json())["preprocessing"]
    assert (fields["sixteen_bits"], fields["jpeg_decoding"]) == ("range", "scaled")
    assert Manifest.from_json(content.to_json()) == content


def test_16_bits_are_preprocessed_by_the_rule():
    twelve_bits = np.tile(np.arange(4096, dtype=np.uint16)[::64], (64, 1))
    encoded = cv2.imencode(".png", twelve_bits)[1].tobytes()

    spread, cut = Preprocessing(64, 0), Preprocessing(64, 0, "high_byte")

    np.testing.assert_array_equal(spread.apply(encoded)[0], np.rint(np.arange(64) * 255 / 63))
    np.testing.assert_array_equal(cut.apply(encoded)[0], np.arange(64) // 4)
    np.testing.assert_array_equal(spread.decode(encoded), spread.apply(encoded))
    for preprocessing in (spread, cut):
        theirs = preprocessing.apply_in_graph(tf.constant(encoded))[..., 0]
        np.testing.assert_array_equal(theirs, preprocessing.apply(encoded))
