"""A training on X-rays warns of pictures that are none, of blank films, and of X-rays that are turned."""

import shutil

import cv2
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_sample_images

from pipeline import runs
from pipeline.input.arrays import load_arrays
from pipeline.suitability.assessment import Assessor
from pipeline.training.fit import train
from pipeline.training.settings import ModelConfig, TrainConfig
from tfrecords_builder import Preprocessing
from tfrecords_builder.building.build import build
from tfrecords_builder.building.settings import BuildConfig
from tfrecords_builder.source.find import find_source_images
from tfrecords_builder.synthesize import SynthesizeConfig, synthesize

SIDE = 48
COUNT = 60  # pictures of each kind


def some_xrays(folder, every: int, target) -> str:
    """Copies one in `every` images, with their folders."""
    for image in find_source_images(str(folder)).images[::every]:
        (target / image.source).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / image.source, target / image.source)
    return str(target)


@pytest.fixture(
    scope="module", params=["synthetic", pytest.param("real", marks=pytest.mark.slow)], ids=lambda name: name
)
def run_and_xrays(request, tmp_path_factory):
    """A short training, and X-rays that it was not trained on."""
    folder = tmp_path_factory.mktemp("xrays")
    if request.param == "synthetic":
        source = str(folder / "chest_xray")
        synthesize(SynthesizeConfig(source, train_images=150, val_images=4, test_images=40, height=120))
    else:
        source = some_xrays(request.getfixturevalue("real_xrays"), 3, folder / "chest_xray")
    records, run = str(folder / "records"), str(folder / "run")
    build(BuildConfig(source, records, preprocessing=Preprocessing(SIDE), val_fraction=0.25))
    train(
        TrainConfig(
            records,
            run,
            epochs=6,
            precision="float32",
            model=ModelConfig(filters=(8, 16, 32), convolutions=1),
        )
    )
    return runs.load(run), load_arrays(records, "test")[0]


def page(generator: np.random.Generator) -> np.ndarray:
    """A page with lines of writing."""
    picture = np.full((400, 320), 235, np.uint8)
    for row in range(20, 400, 18):
        text = "".join(chr(letter) for letter in generator.integers(97, 123, 30))
        cv2.putText(picture, text, (5, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 30, 1, cv2.LINE_AA)
    return picture


def photograph(generator: np.random.Generator) -> np.ndarray:
    """A part of a photograph of a temple or of a flower."""
    picture = cv2.cvtColor(load_sample_images().images[generator.integers(2)], cv2.COLOR_RGB2GRAY)
    side = int(generator.integers(150, 420))
    top, left = (int(generator.integers(0, size - side + 1)) for size in picture.shape)
    return picture[top : top + side, left : left + side]


def pictures_of(kind: str, xrays: np.ndarray) -> np.ndarray:
    generator = np.random.default_rng(0)
    if kind in {"upside down", "to the left", "to the right"}:
        turns = {"upside down": 2, "to the left": 1, "to the right": -1}[kind]
        return np.ascontiguousarray(np.rot90(xrays, turns, axes=(1, 2)))
    draw = {
        "noise": lambda: generator.integers(0, 256, (SIDE, SIDE), dtype=np.uint8),
        "blank": lambda: np.full((SIDE, SIDE), generator.integers(0, 256), np.uint8),
        "page": lambda: page(generator),
        "photograph": lambda: photograph(generator),
    }[kind]
    shrink = Preprocessing(SIDE).crop_and_resize
    return np.stack([shrink(draw()) for _ in range(COUNT)])[..., None]


def warned(run, images: np.ndarray) -> float:
    """Share of the images that get a warning."""
    assess = Assessor(run.model, run.reference, run.model.outputs[0])
    _, assessment = assess(tf.constant(images))
    return float((assessment.warning.numpy() != b"").mean())


def test_xrays_get_hardly_any_warning(run_and_xrays):
    run, xrays = run_and_xrays

    assert warned(run, xrays) < 0.1


@pytest.mark.parametrize(
    ("kind", "at_least"),
    [
        ("noise", 0.95),
        ("blank", 0.95),
        ("page", 0.95),
        ("photograph", 0.95),
        ("to the left", 0.8),
        ("to the right", 0.8),
        ("upside down", 0.5),  # of so short a training; of a whole one: docs/results.md
    ],
)
def test_everything_else_gets_one(run_and_xrays, kind, at_least):
    run, xrays = run_and_xrays

    assert warned(run, pictures_of(kind, xrays)) >= at_least
