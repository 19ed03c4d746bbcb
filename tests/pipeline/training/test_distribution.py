"""Training on several devices: two logical CPUs of this machine, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import runs
from pipeline.input.arrays import load_arrays

ON_TWO_DEVICES = """
import sys
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pipeline.training.fit import train
from tests.small_run import quick_training
from tfrecords_builder.errors import UserError

try:
    train(quick_training(*sys.argv[1:], batch_size=15))
except UserError as error:
    print(error)
train(quick_training(*sys.argv[1:]))
"""


@pytest.mark.slow
def test_two_devices_train_the_same_run_folder(write_records, tmp_path):
    records = write_records({"train": 91, "val": 40})  # the last batch of an epoch has 11 images
    run = str(tmp_path / "run")
    command = [sys.executable, "-c", ON_TWO_DEVICES, records, run]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 devices cannot share --batch-size 15" in done.stdout

    assert len(json.loads((Path(run) / "environment.json").read_text())["devices"]) == 2
    loaded = runs.load(run)
    images, labels = load_arrays(records, "val")
    found = loaded.model.predict(images, verbose=0)[:, 0] >= loaded.operating_point.threshold
    assert (found == labels).mean() > 0.9
