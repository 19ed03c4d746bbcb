"""How TensorFlow and Keras are loaded, each in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NATIVE_SETTINGS = ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS")


def python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a script in a process without this one's settings of TensorFlow's C++ code."""
    inherited = {name: value for name, value in os.environ.items() if name not in NATIVE_SETTINGS}
    command = [sys.executable, "-c", f"from tfrecords_builder.cli import startup\n{script}"]
    return subprocess.run(
        command, cwd=ROOT, env=inherited | environment, capture_output=True, text=True, check=False
    )


REPORT = """
from tfrecords_builder.errors import UserError
try:
    startup.load_keras()
except UserError as error:
    print(error)
else:
    import keras
    print(keras.config.floatx(), keras.config.image_data_format(), keras.config.backend())
"""


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"floatx": "float16", "image_data_format": "channels_first", "epsilon": 1e-3},
            "float32 channels_last tensorflow",
        ),
        ({"floatx": "float8"}, "correct them"),
        ({"backend": "numpy"}, "cannot train, expected one of tensorflow, jax, torch"),
    ],
)
def test_the_users_keras_json_changes_no_training(tmp_path, settings, words):
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    environment = {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": ""}

    completed = python(REPORT, **environment)

    assert words in completed.stdout
    assert completed.stderr == ""
    assert completed.stdout.count("\n") == 1


WORK = """
startup.load_tensorflow()
import tensorflow as tf
tf.nn.max_pool2d(tf.zeros((1, 8, 8, 4), tf.uint8), 2, 2, "VALID")  # logs an error about oneDNN on some CPUs
for _ in tf.data.Dataset.range(3).take(2):
    pass
"""


def test_what_tensorflow_logs_at_start_and_at_work_is_silenced():
    completed = python(WORK)

    assert (completed.returncode, completed.stderr) == (0, "")


VARIABLES = """
import os
startup.set_native_defaults()
print(os.environ["TF_CPP_MIN_LOG_LEVEL"], os.environ["TF_ENABLE_ONEDNN_OPTS"])
"""


def test_the_users_own_settings_are_kept():
    assert python(VARIABLES, TF_CPP_MIN_LOG_LEVEL="0", TF_ENABLE_ONEDNN_OPTS="0").stdout == "0 0\n"


ONEDNN = """
startup.load_tensorflow()
from tensorflow.python.util import _pywrap_util_port as built
print(built.IsMklEnabled(), built.IsX86Available())
"""


@pytest.mark.parametrize(("variable", "is_used"), [(None, True), ("0", False)])
def test_tensorflow_computes_with_onednn_on_every_cpu_unless_the_user_forbids_it(variable, is_used):
    settings = {} if variable is None else {"TF_ENABLE_ONEDNN_OPTS": variable}
    enabled, is_x86 = python(ONEDNN, **settings).stdout.split()
    if is_x86 != "True":
        pytest.skip("TensorFlow has this choice on x86 processors alone")

    assert (enabled == "True") == is_used
