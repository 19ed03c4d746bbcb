"""Fixtures of several packages. Each imports what it needs, so that tests that need little start at once."""

import gc
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests import small_run
from tests.small_run import bright_spots, quick_training
from tfrecords_builder.cli import startup

if TYPE_CHECKING:
    from pipeline.evaluation.evaluate import Evaluation
    from serving.server.assembly import Ports

startup.set_native_defaults()  # as every command does, before any test loads TensorFlow

GARBAGE_THRESHOLDS = (100_000, 50, 100)
"""Tracing a graph makes more objects than Python's own thresholds are made for."""

SHARED = Path(__file__).parent.parent.parent / "shared"


def pytest_collection_finish() -> None:
    """Keeps what the tests have imported out of the collection of garbage: an eighth of their time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


@pytest.fixture(scope="session")
def real_xrays() -> Path:
    """Folder of real X-rays in the Kaggle layout; the test skips where it is absent."""
    return _shared("chest_xray_224")


@pytest.fixture(scope="session")
def original_xrays() -> Path:
    """Folder of X-rays as hospitals have them, up to 5840x3624 pixels; the test skips where it is absent."""
    return _shared("mixed_originals")


def _shared(name: str) -> Path:
    folder = SHARED / "data" / name
    if not folder.is_dir():
        pytest.skip(f"needs the real X-rays of {name}, which are not part of the repository")
    return folder


@pytest.fixture(scope="session")
def write_records(tmp_path_factory) -> Callable[..., str]:
    """Writes real shards of given counts into a new folder; returns it."""

    def write(*args, **kwargs) -> str:
        return small_run.write_records(tmp_path_factory.mktemp("records"), *args, **kwargs)

    return write


@pytest.fixture(scope="session")
def records(write_records) -> str:
    """Records of all three splits, easy to learn."""
    return write_records({"train": 96, "val": 40, "test": 40})


@pytest.fixture(scope="session")
def finished_run(records, tmp_path_factory) -> str:
    """A run folder whose model has learned the bright spots."""
    from pipeline.training.fit import train

    run = str(tmp_path_factory.mktemp("runs") / "run")
    train(quick_training(records, run))
    return run


@pytest.fixture(scope="session")
def evaluation(finished_run, records) -> "Evaluation":
    """An evaluation of the finished run on its test split."""
    from pipeline.evaluation.evaluate import evaluate

    return evaluate(finished_run, records)


@pytest.fixture(scope="session")
def explained(finished_run, records) -> "Evaluation":
    """The same evaluation with measured explanations."""
    from pipeline.evaluation.evaluate import evaluate

    return evaluate(finished_run, records, name="explained", measure_explanations=True)


@pytest.fixture
def images() -> np.ndarray:
    """uint8 (12, side, side, 1), every other one with a bright spot."""
    return bright_spots(12, seed=99)[0]


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """chest_xray/ with 12 + 3 + 4 images of each class."""
    from tfrecords_builder.synthesize import SynthesizeConfig, synthesize

    folder = tmp_path_factory.mktemp("source") / "chest_xray"
    synthesize(SynthesizeConfig(str(folder), train_images=12, val_images=3, test_images=4, height=80))
    return folder


@pytest.fixture(scope="session")
def exported_models(finished_run, tmp_path_factory) -> str:
    """A folder of models with version 1 of the bright spots' classifier, as the export writes it."""
    from serving.export import export

    folder = str(tmp_path_factory.mktemp("exported"))
    export(finished_run, folder)
    return folder


@pytest.fixture(scope="session")
def models(exported_models, tmp_path_factory) -> str:
    """The exported models with one small warm-up request, so that servers load them several times as fast.

    A test whose first requests come at the same time should take `exported_models`: without the whole
    warm-up, TensorFlow optimizes the graph for each of these requests.
    """
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(exported_models, folder, dirs_exist_ok=True)
    small_run.shorten_warm_up(folder / "pneumonia/1")
    return str(folder)


@pytest.fixture(scope="module")
def local_server(models) -> Iterator["Ports"]:
    """Serves `models` on free ports of this machine."""
    from serving.server.assembly import running_server
    from serving.server.settings import ServerSettings

    with running_server(ServerSettings(models, grpc_port=0, rest_port=0)) as ports:
        yield ports


@pytest.fixture
def command(monkeypatch, capfd, tmp_path):
    """Runs `python -m module ...` in an empty folder; returns exit code, stdout and stderr's lines."""
    monkeypatch.chdir(tmp_path)

    def run(module: str, *arguments) -> tuple[int, str, list[str]]:
        monkeypatch.setattr(sys, "argv", [module, *map(str, arguments)])
        is_package = hasattr(sys.modules.get(module), "__path__")
        executed = f"{module}.__main__" if is_package else module
        monkeypatch.delitem(sys.modules, executed, raising=False)  # runpy warns of modules that are there
        capfd.readouterr()
        with pytest.raises(SystemExit) as exited:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        output = capfd.readouterr()
        return exited.value.code or 0, output.out, output.err.splitlines()

    return run
