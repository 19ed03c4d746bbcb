"""`--verify` against real servers whose models differ from the evaluated one, each in another way."""

import dataclasses
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline import runs
from pipeline.model import build_model
from pipeline.training.settings import ModelConfig
from serving import golden
from serving.client.options import ServerOptions
from serving.client.verify import verify
from serving.exporting import saved_model
from serving.server.assembly import running_server
from serving.server.settings import ServerSettings
from serving.signatures import ServedClassifier
from tests import small_run
from tfrecords_builder.errors import UserError

SAME, THRESHOLD, RESIZED, WEIGHTS, LABELS = 1, 2, 3, 4, 5
"""Versions of the deployed model. The evaluated folder has the evaluated model under each number."""


class SwappedLabels(ServedClassifier):
    def _label(self, probability):
        return tf.where(probability >= self._threshold, "NORMAL", "PNEUMONIA")


def another_threshold(run: runs.Run) -> runs.Run:
    point = dataclasses.replace(run.operating_point, threshold=run.operating_point.threshold + 1e-4)
    return dataclasses.replace(run, operating_point=point)


def another_size(run: runs.Run) -> runs.Run:
    model = build_model(ModelConfig(filters=(4, 8), convolutions=1), small_run.SIDE + 8)
    preprocessing = dataclasses.replace(run.preprocessing, image_size=small_run.SIDE + 8)
    return dataclasses.replace(run, model=model, preprocessing=preprocessing, reference=None)


def other_weights(run: runs.Run) -> runs.Run:
    model = keras.models.clone_model(run.model)
    model.set_weights([1.02 * weights for weights in run.model.get_weights()])
    return dataclasses.replace(run, model=model)


@pytest.fixture(scope="module")
def evaluated(models, tmp_path_factory) -> str:
    """The evaluated model as versions 1 to 5."""
    folder = tmp_path_factory.mktemp("evaluated")
    for number in range(SAME, LABELS + 1):
        shutil.copytree(f"{models}/pneumonia/1", folder / "pneumonia" / str(number))
    return str(folder)


@pytest.fixture(scope="module")
def deployed(evaluated, finished_run, tmp_path_factory) -> str:
    """A folder whose versions 2 to 5 differ from the evaluated model."""
    folder = tmp_path_factory.mktemp("deployed")
    shutil.copytree(f"{evaluated}/pneumonia/1", folder / "pneumonia/1")
    run = runs.load(finished_run)
    for number, another in (
        (THRESHOLD, another_threshold(run)),
        (RESIZED, another_size(run)),
        (WEIGHTS, other_weights(run)),
    ):
        saved_model.write(another, str(folder / "pneumonia" / str(number)))
        small_run.shorten_warm_up(folder / "pneumonia" / str(number))
    swapped = SwappedLabels(run)
    tf.saved_model.save(swapped, str(folder / f"pneumonia/{LABELS}"), signatures=swapped.signatures())
    return str(folder)


@pytest.fixture(scope="module")
def ports(deployed, tmp_path_factory):
    config = tmp_path_factory.mktemp("config") / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "pneumonia" base_path: "{deployed}/pneumonia" '
        'model_platform: "tensorflow" model_version_policy { all {} } } }'
    )
    with running_server(ServerSettings(model_config_file=str(config), grpc_port=0, rest_port=0)) as ports:
        yield ports


@pytest.fixture(params=["grpc", "rest"])
def options(request, ports):
    def make(version: int | None = None) -> ServerOptions:
        address = f"127.0.0.1:{getattr(ports, request.param)}"
        return ServerOptions(address=address, transport=request.param, version=version)

    return make


def test_the_evaluated_model_agrees_in_every_signature(options, evaluated):
    verification = verify(options(SAME), evaluated)

    assert verification.problems == []
    assert (verification.expected_version, verification.answering_version) == (SAME, SAME)
    assert [signature.name for signature in verification.signatures] == [
        "serving_default",
        "gradcam",
        "pixels",
    ]
    assert all(signature.milliseconds > 0 for signature in verification.signatures)


@pytest.mark.parametrize("options", ["grpc", pytest.param("rest", marks=pytest.mark.slow)], indirect=True)
@pytest.mark.parametrize(
    ("version", "problem"),
    [
        (THRESHOLD, "threshold of golden image 0"),
        (RESIZED, "heatmap has the shape"),
        (WEIGHTS, "logit of golden image"),
        (LABELS, "labels differ"),
    ],
)
def test_a_model_that_differs_is_found(options, evaluated, version, problem):
    problems = verify(options(version), evaluated).problems

    assert any(problem in found for found in problems), problems


def test_only_what_differs_is_named(options, evaluated):
    problems = verify(options(THRESHOLD), evaluated).problems

    assert all("threshold" in problem for problem in problems)
    assert len(problems) == 2, "the signature of preprocessed images does not tell its threshold"


def test_another_version_than_the_newest_is_found(options, evaluated, deployed, tmp_path):
    shutil.copytree(evaluated, tmp_path / "newer")
    shutil.copytree(f"{evaluated}/pneumonia/1", tmp_path / "newer/pneumonia/7")

    problems = verify(options(), str(tmp_path / "newer")).problems

    assert problems[0] == f"version {LABELS} answers, not 7"


def test_the_command_says_what_it_found_and_how_fast_it_is(command, ports, evaluated):
    there = ("--address", f"127.0.0.1:{ports.rest}", "--transport", "rest", "--verify", evaluated)

    good, printed, errors = command("serving.client", *there, "--version", SAME)
    bad, disagreed, _ = command("serving.client", *there, "--version", LABELS)

    assert (good, errors) == (0, [])
    assert "version 1 of model 'pneumonia' answers" in printed
    assert printed.count("yes") == 3
    assert bad == 1
    assert disagreed.count(" no ") == 3


def test_a_folder_without_the_version_or_without_golden_images_is_refused(options, evaluated, tmp_path):
    with pytest.raises(UserError, match="has no version 9 of the model 'pneumonia'; versions there: 1, 2"):
        verify(options(9), evaluated)
    with pytest.raises(UserError, match="has no version of the model"):
        verify(options(), str(tmp_path))
    (tmp_path / "pneumonia/1").mkdir(parents=True)
    with pytest.raises(UserError, match="export the run again"):
        verify(options(1), str(tmp_path))


def test_golden_images_are_read_as_they_were_written(evaluated, tmp_path):
    written = golden.load(f"{evaluated}/pneumonia/1")

    written.save(str(tmp_path))
    read = golden.load(str(tmp_path))

    for name, value in vars(written).items():
        np.testing.assert_array_equal(getattr(read, name), value)
    assert len(read.encoded) == 8
    assert all(Path(tmp_path, golden.FOLDER, f"{n}.png").read_bytes() == read.encoded[n] for n in range(8))


def test_images_that_cannot_be_decoded_and_missing_outputs_are_named(evaluated):
    expected = golden.load(f"{evaluated}/pneumonia/1")
    outputs = {
        "probability": expected.probability,
        "label": ["PNEUMONIA" if p >= expected.threshold else "NORMAL" for p in expected.probability],
    }

    assert golden.differences(expected, outputs) == []
    assert golden.differences(expected, outputs | {"valid": [True] * 7 + [False]}) == [
        "it cannot decode all of the golden images"
    ]
    assert golden.differences(expected, {"x": 1}) == ["it does not return probability and label"]
    nan = np.full_like(expected.probability, np.nan)
    assert (
        "probability of golden image 0 is nan"
        in golden.differences(expected, outputs | {"probability": nan})[0]
    )
