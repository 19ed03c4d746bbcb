"""The SavedModel answers on TensorFlow's C++ loader, which TensorFlow Serving uses, as it does in Python.

The tests run with the TensorFlow of this environment. The slow ones install and use the version that
Dockerfile.serving names.
"""

import pickle
import re
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from serving.server.servable import Servable
from tests.serving.damage import BAD_IMAGES, mutated

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-5
RANKS = 0.05
"""Familiarity is a rank: a distance that differs in its last digit may change it by one or two of 40."""


@pytest.fixture(scope="module")
def pinned(tmp_path_factory) -> tuple[Path, Path]:
    """Python and package of a new environment with the tensorflow-cpu that Dockerfile.serving names."""
    dockerfile = (ROOT / "Dockerfile.serving").read_text()
    version = re.search(r"ARG TF_SERVING_VERSION=(\S+)", dockerfile)[1]
    environment = tmp_path_factory.mktemp("pinned") / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", f"tensorflow-cpu=={version}"], check=True)
    return python, next((environment / "lib").glob("python*/site-packages/tensorflow"))


@pytest.fixture
def loader(request, tmp_path):
    """Runs requests (signature, inputs, outputs) through the C API; returns its version and its answers."""
    if request.param == "pinned":
        python, package = request.getfixturevalue("pinned")
    else:
        python, package = Path(sys.executable), Path(tf.__file__).parent
    script = Path(__file__).with_name("c_loader.py")

    def run(folder, signature_defs, requests):
        named = [_by_tensor(signature_defs[signature], *rest) for signature, *rest in requests]
        (tmp_path / "requests").write_bytes(pickle.dumps([asked for asked, _ in named]))
        subprocess.run(
            [python, script, package, folder, tmp_path / "requests", tmp_path / "answers"],
            check=True,
            cwd=tmp_path,
            timeout=600,
        )
        result = pickle.loads((tmp_path / "answers").read_bytes())
        result["answers"] = [
            answer if isinstance(answer, str) else {names[tensor]: array for tensor, array in answer.items()}
            for answer, (_, names) in zip(result["answers"], named, strict=True)
        ]
        return result

    return run


def _by_tensor(signature, inputs, outputs=None):
    names = {signature.outputs[name].name: name for name in outputs or signature.outputs}
    feeds = {signature.inputs[name].name: value for name, value in inputs.items()}
    return (feeds, list(names)), names


both_loaders = pytest.mark.parametrize(
    "loader", ["installed", pytest.param("pinned", marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture(scope="module")
def folder(models) -> str:
    return f"{models}/pneumonia/1"


@pytest.fixture(scope="module")
def signature_defs(folder):
    servable = Servable("pneumonia", 1, folder)
    yield servable.signature_defs
    servable.close()


def encoded(images) -> np.ndarray:
    array = np.empty(len(images), object)
    array[:] = images
    return array


def assert_same_picture(png: bytes, expected: bytes) -> None:
    """At most one level apart: of a batch of another size, heat may differ in its last digit."""
    if not expected:
        assert not png
        return
    picture, known = (tf.io.decode_png(encoded).numpy().astype(int) for encoded in (png, expected))
    assert np.abs(picture - known).max() <= 1


def assert_same(answer, expected) -> None:
    assert set(answer) == set(expected)
    for name, values in expected.items():
        if values.dtype == np.float32:
            np.testing.assert_allclose(
                answer[name], values, atol=RANKS if name == "familiarity" else TOLERANCE
            )
        elif name == "overlay_bytes":
            for png, expected_png in zip(answer[name], values, strict=True):
                assert_same_picture(png, expected_png)
        else:
            assert answer[name].tolist() == values.tolist()


@both_loaders
def test_every_signature_answers_as_in_python(loader, folder, signature_defs, encoded_images, images):
    python_signatures = tf.saved_model.load(folder).signatures
    batch = encoded([*encoded_images, b"no image"])
    requests = [
        ("serving_default", {"image_bytes": batch}),
        ("gradcam", {"image_bytes": batch}),
        ("pixels", {"image": images}),
    ]

    result = loader(folder, signature_defs, requests)

    for (signature, inputs), answer in zip(requests, result["answers"], strict=True):
        given = {
            name: tf.constant(value.tolist() if value.dtype == object else value)
            for name, value in inputs.items()
        }
        expected = {name: value.numpy() for name, value in python_signatures[signature](**given).items()}
        assert_same(answer, expected)


@both_loaders
def test_32_images_of_which_some_are_bad_answer_as_alone(loader, folder, signature_defs, encoded_images):
    places = [0, 7, 13, 20, 24, 28, 31]
    good = [encoded_images[position % 12] for position in range(32 - len(places))]
    batch = list(good)
    for place, bad in zip(places, BAD_IMAGES.values(), strict=True):
        batch.insert(place, bad)
    for signature in ("serving_default", "gradcam"):
        alone = [(signature, {"image_bytes": encoded([image])}) for image in good]
        result = loader(folder, signature_defs, [(signature, {"image_bytes": encoded(batch)}), *alone])

        together, *single = result["answers"]
        assert [place for place, valid in enumerate(together["valid"]) if not valid] == places
        kept = [place for place in range(32) if place not in places]
        for place, answer in zip(kept, single, strict=True):
            assert_same({name: values[place : place + 1] for name, values in together.items()}, answer)


@both_loaders
@pytest.mark.slow
def test_mutated_images_neither_crash_nor_hang_and_a_huge_header_allocates_nothing(
    loader, folder, signature_defs, encoded_images
):
    files = [*encoded_images[:4], cv2.imencode(".jpg", np.full((300, 400), 90, np.uint8))[1].tobytes()]
    variants = mutated(files, count=2000, seed=0)
    batches = [
        ("serving_default", {"image_bytes": encoded(variants[at : at + 50])}) for at in range(0, 2000, 50)
    ]
    huge = [
        ("serving_default", {"image_bytes": encoded([BAD_IMAGES["claims 60000 x 60000 pixels"]] * 50)})
    ] * 20

    began = time.monotonic()
    few = loader(folder, signature_defs, batches[:4])
    all_of_them = loader(folder, signature_defs, batches + huge)

    assert time.monotonic() - began < 300  # seconds
    for answer in all_of_them["answers"]:
        assert not isinstance(answer, str)
        assert np.isfinite(answer["probability"]).all()
    assert not any(answer["valid"].any() for answer in all_of_them["answers"][-20:])
    # One picture of 60000 x 60000 would be 3.4 GiB; a leak of one picture in ten would be 24 MiB.
    assert all_of_them["peak_kib"] - few["peak_kib"] < 200 << 10
