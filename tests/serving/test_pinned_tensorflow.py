"""The SavedModel in the TensorFlow that the pinned image of TensorFlow Serving has inside."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

ROOT = Path(__file__).parent.parent.parent

ANSWER = """
import sys
import numpy as np
import tensorflow as tf

folder, inputs, outputs = sys.argv[1:]
given = np.load(inputs, allow_pickle=True)
signatures = tf.saved_model.load(folder).signatures
answers = {"version": tf.__version__}
for name in ("serving_default", "gradcam"):
    for key, value in signatures[name](image_bytes=tf.constant(given["image_bytes"].tolist())).items():
        answers[f"{name}/{key}"] = value.numpy()
for key, value in signatures["pixels"](image=tf.constant(given["image"])).items():
    answers[f"pixels/{key}"] = value.numpy()
np.savez(outputs, **answers)
"""


@pytest.fixture(scope="module")
def pinned_python(tmp_path_factory) -> Path:
    """A Python with nothing but tensorflow-cpu of the version that Dockerfile.serving names."""
    dockerfile = (ROOT / "Dockerfile.serving").read_text()
    version = re.search(r"ARG TF_SERVING_VERSION=(\S+)", dockerfile)[1]
    environment = tmp_path_factory.mktemp("pinned") / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", f"tensorflow-cpu=={version}"], check=True)
    return python


@pytest.mark.slow
def test_every_signature_answers_the_same(pinned_python, models, encoded_images, images, tmp_path):
    folder = f"{models}/pneumonia/1"
    inputs, outputs = tmp_path / "inputs.npz", tmp_path / "outputs.npz"
    batch = [*encoded_images, b"no image"]
    np.savez(inputs, image_bytes=np.array(batch, object), image=images)

    subprocess.run([pinned_python, "-c", ANSWER, folder, inputs, outputs], check=True)

    signatures = tf.saved_model.load(folder).signatures
    expected = {
        f"{name}/{key}": value.numpy()
        for name, given in {
            "serving_default": {"image_bytes": tf.constant(batch)},
            "gradcam": {"image_bytes": tf.constant(batch)},
            "pixels": {"image": tf.constant(images)},
        }.items()
        for key, value in signatures[name](**given).items()
    }
    answers = dict(np.load(outputs, allow_pickle=True))
    assert str(answers.pop("version")) != tf.__version__
    assert set(answers) == set(expected)
    for name, values in expected.items():
        if values.dtype == np.float32:
            np.testing.assert_allclose(answers[name], values, atol=1e-5)
        else:
            assert answers[name].tolist() == values.tolist()
