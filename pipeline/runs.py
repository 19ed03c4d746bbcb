"""A run folder: everything that a training writes, and what later commands read.

`config.json` (every setting), `environment.json` (versions, devices, git commit, seed, precision),
`dataset.json` (of the records), `history.csv`, `logs/` (TensorBoard), `model.keras`, `operating_point.json`,
`evaluation/`.
"""

import dataclasses
import json
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.operating_point import FILE_NAME as OPERATING_POINT
from pipeline.operating_point import OperatingPoint
from tfrecords_builder import Preprocessing, continuing, manifest, storage
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Manifest

if TYPE_CHECKING:
    import keras

CONFIG = "config.json"
ENVIRONMENT = "environment.json"
MODEL = "model.keras"
HISTORY = "history.csv"
LOGS = "logs"
EVALUATION = "evaluation"

_PACKAGES = (
    "tensorflow",
    "keras",
    "keras-tuner",
    "numpy",
    "opencv-python-headless",
    "scikit-learn",
    "simplejpeg",
    "jax",
)
"""Packages whose version can change a result."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished training, as `load` reads it."""

    folder: str
    """The run folder, a path or a URL."""
    model: "keras.Model"
    """Computes in float32, from images (batch, side, side, 1) with values 0 to 255 to probabilities of
    pneumonia, float32 (batch, 1)."""
    preprocessing: Preprocessing
    """The preprocessing of the images that it was trained with."""
    operating_point: OperatingPoint
    """The threshold that turns its probabilities into labels."""
    config: dict[str, Any]
    """The content of `config.json`."""


def load(run: str) -> Run:
    """Reads the run folder of a finished training.

    Args:
        run: the folder, a path or any URL that `tf.io.gfile` opens.

    Raises:
        UserError: if the folder holds no finished training.
    """
    import keras

    for name in (CONFIG, MODEL, OPERATING_POINT):
        if not storage.exists(storage.join(run, name)):
            raise UserError(
                f"{run!r} has no {name}, so it is no finished run: train one with "
                f"`python -m pipeline.train RECORDS {run}` (the same command continues one that was stopped)"
            )
    return Run(
        folder=run,
        model=storage.read_with(storage.join(run, MODEL), keras.saving.load_model),
        preprocessing=manifest.load(run).preprocessing,
        operating_point=OperatingPoint.from_json(storage.read(storage.join(run, OPERATING_POINT))),
        config=json.loads(storage.read(storage.join(run, CONFIG))),
    )


def check_same_preprocessing(run: Run, content: Manifest, records: str) -> None:
    """Refuses records whose preprocessing differs from that of the records the run was trained with.

    Raises:
        UserError: naming both preprocessings.
    """
    if content.preprocessing != run.preprocessing:
        raise UserError(
            f"the records in {records!r} were made with {content.preprocessing}, the model in {run.folder!r} "
            f"was trained with {run.preprocessing}: build records with the same --image-size and --border"
        )


def begin(run: str, config: Mapping[str, Any], content: Manifest, environment: Mapping[str, Any]) -> None:
    """Writes what is known before the training starts. A run folder that was begun before is only checked.

    Args:
        run: the folder, a path or a URL.
        config: the settings that decide the trained model.
        content: the `dataset.json` of the records.
        environment: what `describe_environment` returned.

    Raises:
        UserError: if the folder was begun with another `config`; the message names the first difference.
    """
    path = storage.join(run, CONFIG)
    if not storage.exists(path):
        storage.write(storage.join(run, manifest.FILE_NAME), content.to_json())
        storage.write(storage.join(run, ENVIRONMENT), json.dumps(environment, indent=2) + "\n")
    # Last, so that a folder with a config.json has the other two files as well.
    continuing.begin_or_continue(path, config, f"{run!r} was begun")


def delete(run: str) -> None:
    """Deletes the run folder, if there is one."""
    if storage.exists(run):
        import tensorflow as tf

        tf.io.gfile.rmtree(run)


def is_finished(run: str) -> bool:
    """Whether the folder holds a finished training."""
    return storage.exists(storage.join(run, OPERATING_POINT))


def stored_environment(run: str) -> dict[str, Any]:
    """The content of `environment.json`; empty if the folder was not begun."""
    path = storage.join(run, ENVIRONMENT)
    return dict(json.loads(storage.read(path))) if storage.exists(path) else {}


def describe_environment(seed: int, precision: str) -> dict[str, Any]:
    """Describes where and how a training runs, as `environment.json` holds it.

    Args:
        seed: the seed of the training.
        precision: the precision that the training computes in.
    """
    import keras

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "keras_backend": keras.backend.backend(),
        "devices": keras.distribution.list_devices(),
        "git_commit": _git_commit(),
        "seed": seed,
        "precision": precision,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
