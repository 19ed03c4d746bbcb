import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfrecords_builder import tfrecord
from tfrecords_builder.manifest import FILE_NAME
from tfrecords_builder.synthesize import SynthesizeConfig, synthesize


def in_tensorflow(features: dict[str, bytes | int]) -> bytes:
    def feature(value: bytes | int) -> tf.train.Feature:
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    encoded = {name: feature(value) for name, value in features.items()}
    example = tf.train.Example(features=tf.train.Features(feature=encoded))
    return example.SerializeToString(deterministic=True)


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16_383, 16_384, 3_000_000])
def test_an_example_has_the_bytes_that_tensorflow_gives_it(length):
    data = np.random.default_rng(length).bytes(length)
    features = {
        "label": 1,
        "image": data,
        "width": 0,
        "height": 2**40,
        "subtype": "ä".encode(),
        "sha256": b"",
    }
    assert tfrecord.example(features) == in_tensorflow(features)


def test_a_file_of_records_has_the_bytes_that_tensorflow_writes(tmp_path):
    generator = np.random.default_rng(0)
    examples = [generator.bytes(length) for length in (0, 1, 8, 1000, 100_000)]
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for data in examples:
            writer.write(data)

    assert b"".join(map(tfrecord.record, examples)) == (tmp_path / "theirs").read_bytes()


WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None  # importing it fails

from tfrecords_builder.__main__ import main
from tfrecords_builder.building.settings import BuildConfig

main(BuildConfig(*sys.argv[1:]))
"""


def test_the_builder_works_without_tensorflow(tmp_path):
    images, records = tmp_path / "images", tmp_path / "records"
    synthesize(SynthesizeConfig(str(images), train_images=20, test_images=4))
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, str(images), str(records)]
    subprocess.run(command, check=True)
    assert (records / FILE_NAME).exists()
