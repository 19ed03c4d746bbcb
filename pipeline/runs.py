"""A run folder: everything that a training leaves, and what every later command takes.

`config.json` (every setting), `environment.json` (versions, device, git commit, seed), `dataset.json` (of the
records), `history.csv`, `logs/` (TensorBoard), `model.keras`, `operating_point.json`, `evaluation/`.
"""

import dataclasses
import json
import platform
import subprocess
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras

from pipeline.operating_point import FILE_NAME as OPERATING_POINT
from pipeline.operating_point import OperatingPoint
from tfrecords_builder import Preprocessing, storage
from tfrecords_builder import manifest as dataset_manifest
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Manifest

CONFIG = "config.json"
ENVIRONMENT = "environment.json"
MODEL = "model.keras"
HISTORY = "history.csv"
LOGS = "logs"
EVALUATION = "evaluation"

_PACKAGES = ("tensorflow", "keras", "keras-tuner", "numpy", "opencv-python-headless", "jax")


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished training."""

    folder: str
    model: keras.Model
    """float32; images (batch, side, side, 1), 0 to 255, to probabilities float32 (batch, 1)."""
    preprocessing: Preprocessing
    operating_point: OperatingPoint
    config: dict[str, Any]
    """What `config.json` holds."""


def load(run: str) -> Run:
    """Reads a run folder (a path or any URL that tf.io.gfile opens).

    Raises:
        UserError: if it is none, or its training has not finished.
    """
    for name in (CONFIG, MODEL, OPERATING_POINT):
        if not storage.exists(storage.join(run, name)):
            raise UserError(
                f"{run!r} has no {name}, so it is no finished run: train one with "
                f"`python -m pipeline.train RECORDS {run}` (the same command continues one that was stopped)"
            )
    return Run(
        folder=run,
        model=storage.read_with(storage.join(run, MODEL), keras.saving.load_model),
        preprocessing=dataset_manifest.load(run).preprocessing,
        operating_point=OperatingPoint.from_json(storage.read(storage.join(run, OPERATING_POINT))),
        config=json.loads(storage.read(storage.join(run, CONFIG))),
    )


def check_same_preprocessing(run: Run, content: Manifest, records: str) -> None:
    """Refuses records that were made otherwise than those the run was trained with.

    Raises:
        UserError: naming both preprocessings.
    """
    if content.preprocessing != run.preprocessing:
        raise UserError(
            f"the records in {records!r} were made with {content.preprocessing}, the model in {run.folder!r} "
            f"was trained with {run.preprocessing}: build records with the same --image-size and --border"
        )


def begin(
    run: str, config: dict[str, Any], content: Manifest, describe_environment: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Writes what is known before a training: its settings, its environment, its data.

    Returns:
        The environment, which is described once: a training that continues has that of its beginning.

    Raises:
        UserError: if the folder was begun with other settings.
    """
    path = storage.join(run, CONFIG)
    if storage.exists(path):
        refuse_other_settings(run, json.loads(storage.read(path)), config)
        return dict(json.loads(storage.read(storage.join(run, ENVIRONMENT))))
    described = describe_environment()
    storage.write(storage.join(run, dataset_manifest.FILE_NAME), content.to_json())
    storage.write(storage.join(run, ENVIRONMENT), json.dumps(described, indent=2) + "\n")
    storage.write(path, json.dumps(config, indent=2) + "\n")
    return described


def is_finished(run: str) -> bool:
    """Whether the folder holds a training that came to its end."""
    return storage.exists(storage.join(run, OPERATING_POINT))


def refuse_other_settings(run: str, begun: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuses to continue what was begun otherwise.

    Raises:
        UserError: naming the first setting that differs.
    """
    # Through JSON, as tuples come back as lists.
    now = json.loads(json.dumps(now))
    different = [key for key in now if now[key] != begun.get(key)]
    if different:
        key = different[0]
        raise UserError(
            f"{run!r} was begun with {key}={begun.get(key)!r}, not {now[key]!r}: "
            f"give the same settings to continue it, another folder, or --overwrite"
        )


def environment(seed: int) -> dict[str, Any]:
    """Where a run was made: versions, devices, git commit, seed."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "keras_backend": keras.backend.backend(),
        "devices": keras.distribution.list_devices(),
        "git_commit": _git_commit(),
        "seed": seed,
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
