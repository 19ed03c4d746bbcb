"""Which epochs the iterations of a dataset hold."""

import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from pipeline.dataset import make_dataset
from tests.pipeline.input.contents import batches_of

EVERY_READER = pytest.mark.parametrize("reader", ["memory", "mapped", "streamed"])
FIT = """
import hashlib
import sys

import keras
import tensorflow as tf
from pipeline.dataset import make_dataset

if "two devices" in sys.argv:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

def note(images):
    print(hashlib.sha256(images.tobytes()).hexdigest())
    return images

def noted(images, labels):
    return tf.ensure_shape(tf.numpy_function(note, [images], tf.uint8), images.shape), labels

with tf.distribute.MirroredStrategy().scope():
    model = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
dataset = make_dataset(sys.argv[1], "train", batch_size=8, training=True, reader="mapped")
model.fit(dataset.map(noted), epochs=3, shuffle=False, verbose=0)
"""


def epochs_from(records, reader, number, first_epoch=0):
    """The batches of epochs that follow one another, each read by a new dataset."""
    return [
        batches_of(
            make_dataset(
                records, "train", batch_size=8, training=True, reader=reader, first_epoch=first_epoch + epoch
            )
        )
        for epoch in range(number)
    ]


@EVERY_READER
def test_each_iteration_is_the_next_epoch(write_records, reader):
    records = write_records({"train": 20})

    dataset = make_dataset(records, "train", batch_size=8, training=True, reader=reader)

    assert [batches_of(dataset) for _ in range(3)] == epochs_from(records, reader, 3)
    assert dataset.cardinality() == 3


@EVERY_READER
def test_each_iteration_of_several_epochs_goes_on_after_the_one_before(write_records, reader):
    records = write_records({"train": 20})
    expected = epochs_from(records, reader, 4, first_epoch=5)
    whole = list(itertools.chain(*expected))

    dataset = make_dataset(
        records, "train", batch_size=8, training=True, reader=reader, first_epoch=5, first_batch=2, epochs=2
    )

    assert batches_of(dataset) == whole[2:6]
    assert batches_of(dataset) == whole[6:]
    assert dataset.cardinality() == tf.data.UNKNOWN_CARDINALITY  # the first iteration is shorter


@EVERY_READER
def test_two_iterations_at_the_same_time_are_two_epochs(write_records, reader):
    records = write_records({"train": 20})
    first, second, third = epochs_from(records, reader, 3)
    dataset = make_dataset(records, "train", batch_size=8, training=True, reader=reader)

    pairs = list(zip(dataset.as_numpy_iterator(), dataset.as_numpy_iterator(), strict=True))

    assert [one.tobytes() for (one, _), _ in pairs] == first
    assert [other.tobytes() for _, (other, _) in pairs] == second
    assert batches_of(dataset) == third


@EVERY_READER
def test_every_iteration_of_a_validation_is_the_same(write_records, reader):
    records = write_records({"val": 20})

    dataset = make_dataset(records, "val", batch_size=8, training=False, reader=reader, first_batch=1)

    assert dataset.cardinality() == 2
    assert batches_of(dataset) == batches_of(dataset)


@EVERY_READER
def test_fit_trains_on_another_order_in_each_epoch(write_records, reader):
    records = write_records({"train": 20})
    seen = []

    def note(images):
        seen.append(images.tobytes())
        return images

    def noted(images, labels):
        return tf.ensure_shape(tf.numpy_function(note, [images], tf.uint8), images.shape), labels

    model = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    dataset = make_dataset(records, "train", batch_size=8, training=True, reader=reader)

    model.fit(dataset.map(noted), epochs=3, shuffle=False, verbose=0)

    assert seen == list(itertools.chain(*epochs_from(records, reader, 3)))


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "devices"), [("jax", "one device"), ("tensorflow", "two devices")])
def test_fit_does_so_too_where_keras_first_asks_for_a_batch_to_learn_its_shape(
    write_records, backend, devices
):
    if backend == "jax":
        pytest.importorskip("jax")
    records = write_records({"train": 20})
    done = subprocess.run(
        [sys.executable, "-c", FIT, records, devices],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        env=os.environ | {"KERAS_BACKEND": backend},
        check=False,
    )
    assert done.returncode == 0, done.stderr

    orders = [
        [hashlib.sha256(batch).hexdigest() for batch in epoch] for epoch in epochs_from(records, "mapped", 4)
    ]
    assert done.stdout.split()[-9:] == list(itertools.chain(*orders[1:]))
