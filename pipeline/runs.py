"""A run folder: everything that a training writes, and what later commands read.

`config.json` (every setting), `environment.json` (versions, devices, git commit, seed, precision,
order of the data), `dataset.json` (of the records), `history.csv`, `logs/` (TensorBoard), `model.keras`,
`reference.npz` (what the training images are like), `calibration.json`, `operating_point.json`,
`evaluation/`. Of a training in folds, `folds/` holds a run folder for each fold, `out_of_fold.csv` what each
model predicted for the images that it was not trained with, and `labels.html` the labels that may be wrong.
"""

import dataclasses
import hashlib
import json
import platform
import re
import subprocess
import zipfile
from collections.abc import Collection, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.decision import calibration
from pipeline.decision.calibration import Calibration
from pipeline.decision.operating_point import FILE_NAME as OPERATING_POINT
from pipeline.decision.operating_point import OperatingPoint
from pipeline.suitability import reference
from pipeline.suitability.reference import Reference
from tfrecords_builder import Preprocessing, continuing, manifest, ownership, storage
from tfrecords_builder.errors import UserError, first_line
from tfrecords_builder.manifest import Manifest
from tfrecords_builder.ownership import PNG_SIGNATURE, OwnedFiles, below
from tfrecords_builder.records import Split

if TYPE_CHECKING:
    import keras

CONFIG = "config.json"
ENVIRONMENT = "environment.json"
MODEL = "model.keras"
HISTORY = "history.csv"
LOGS = "logs"
EVALUATION = "evaluation"
CHECKPOINT = "checkpoint"
FOLDS = "folds"
FOLD_RECORDS = "records"
"""Folder below FOLDS of the records that the models of the folds are trained with."""
OUT_OF_FOLD = "out_of_fold.csv"
LABELS = "labels.html"
MLFLOW = "mlflow.json"
"""Names the MLflow run that a run folder was logged to."""
SITE = "site.json"
"""What was fitted to a new site, in the run folder that was written for it."""
SEARCH = "search"
SEARCH_SETTINGS = "settings.json"

_MANIFEST = re.escape(manifest.FILE_NAME)

EVALUATION_NAME_CHARACTERS = r"\w.-"
"""What names of evaluations consist of, as in a regular expression."""
EVALUATION_FILES = OwnedFiles(
    "an evaluation",
    {
        _MANIFEST: b'"builder_version"',
        r"metrics\.json": b'"schema_version"',
        r"predictions\.csv": b"^source,patient,",
        r"report\.html": b"<title>Evaluation of ",
        r"model_card\.md": b"name: pneumonia-classifier",
        r"\w+\.png": PNG_SIGNATURE + b"|tEXtSoftware\0Matplotlib",
    },
)
CHECKPOINT_FILES = OwnedFiles(
    "a checkpoint", {r"latest\.json": b'"weights"', r"epoch-\d+(-step-\d+)?\.weights\.h5": b"HDF"}
)
_LOGGED = rf"train|validation|hparams|evaluation-[{EVALUATION_NAME_CHARACTERS}]+"
_MODEL_FILES = OwnedFiles(
    "a training of one model",
    {
        r"config\.json": b'"target_sensitivity"',
        r"environment\.json": b'"keras_backend"',
        _MANIFEST: b'"builder_version"',
        r"history\.csv": b"^epoch,",
        r"model\.keras": b"pneumonia_classifier",
        r"reference\.npz": b"class_means.npy",
        r"calibration\.json": b'"slope"',
        r"mlflow\.json": b'"run_id"',
        r"site\.json": b'"fitted_images"',
        r"operating_point\.json": b'"target_sensitivity"',
        **below(LOGS, {rf"({_LOGGED})/events\.out\.tfevents\..*": b""}),
        **below(CHECKPOINT, CHECKPOINT_FILES.signatures),
        **below(rf"{EVALUATION}/[{EVALUATION_NAME_CHARACTERS}]+", EVALUATION_FILES.signatures),
        **below(EVALUATION, EVALUATION_FILES.signatures),  # of version 0.2
    },
)
TRAINING_FILES = OwnedFiles(
    "a training",
    {
        **_MODEL_FILES.signatures,
        r"out_of_fold\.csv": b"^source,patient,",
        r"labels\.html": b"<title>Labels ",
        **below(rf"{FOLDS}/\d+", _MODEL_FILES.signatures),
        **below(f"{FOLDS}/{FOLD_RECORDS}", {r"fold-\d+\.(tfrecord|index)": b""}),
        **below(rf"{FOLDS}/{FOLD_RECORDS}/\d+", {_MANIFEST: b'"builder_version"'}),
    },
)
_KERAS_TUNER_FILES = {
    r"\w+\.json": b'^{}$|"ongoing_trials"',
    r"trial_\w+/trial\.json": b'"trial_id"',
    r"trial_\w+/build_config\.json": b'"input_shape"',
    r"trial_\w+/checkpoint\.weights\.h5": b"HDF",
}
RUN_FILES = OwnedFiles(
    "a run folder",
    {
        **TRAINING_FILES.signatures,
        **below(
            SEARCH,
            {
                r"settings\.json": b'"trial_epochs"',
                r"leaderboard\.csv": b"^rank,",
                r"(failed_trials|finalists)\.csv": b"^trial,",
                r"time\.json": b'"seconds"',
                r"search\.html": b"<title>Search ",
                r"trials/\w+-attempts\.json": b'"attempts"',
                r"(trials|finalists)/[\w-]+/trial\.json": b'"lowest_auc"',
            },
        ),
        **below(rf"{SEARCH}/(hyperband|bayesian|random)", _KERAS_TUNER_FILES),
        **below(rf"{SEARCH}/(trials|finalists|earlier)[/-][\w-]+", TRAINING_FILES.signatures),
    },
)

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
    pneumonia, float32 (batch, 1). It has the operating point as an attribute, too."""
    preprocessing: Preprocessing
    """The preprocessing of the images that it was trained with."""
    operating_point: OperatingPoint
    """The threshold that turns its probabilities into labels."""
    calibration: Calibration | None
    """How the probabilities were calibrated; None if they were not, or an earlier version trained the run."""
    config: dict[str, Any]
    """The content of `config.json`."""
    reference: Reference | None
    """What the training images are like; None if an earlier version trained the run."""


def load(run: str) -> Run:
    """Reads the run folder of a finished training.

    Args:
        run: the folder, a path or any URL that `tf.io.gfile` opens.

    Raises:
        UserError: if the folder holds no finished training.
    """
    for name in (CONFIG, MODEL, OPERATING_POINT):
        if not storage.exists(storage.join(run, name)):
            raise UserError(
                f"{run!r} has no {name}, so it is no finished run: train one with "
                f"`python -m pipeline.train RECORDS {run}` (the same command continues one that was stopped)"
            )
    preprocessing = manifest.load(run).preprocessing
    try:
        model = load_model(run)
        model.operating_point = OperatingPoint.from_json(storage.read(storage.join(run, OPERATING_POINT)))
        return Run(
            folder=run,
            model=model,
            preprocessing=preprocessing,
            operating_point=model.operating_point,
            calibration=_stored_calibration(run),
            config=stored_config(run),
            reference=reference.load(run),
        )
    except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"the run {run!r} cannot be loaded ({first_line(error)}): restore its files, or train it anew"
        ) from None


def _stored_calibration(run: str) -> Calibration | None:
    path = storage.join(run, calibration.FILE_NAME)
    return Calibration.from_json(storage.read(path)) if storage.exists(path) else None


def load_model(run: str) -> "keras.Model":
    """Loads the model of a run folder, whether the run is finished or not.

    Args:
        run: the folder, a path or a URL.
    """
    import keras

    from pipeline.network import custom

    if builder := stored_config(run).get("model_builder"):
        custom.load_function(builder)  # its module registers the layers of the model
    return storage.read_with(storage.join(run, MODEL), keras.saving.load_model)


def check_same_preprocessing(run: Run, content: Manifest, records: str) -> None:
    """Refuses records whose preprocessing differs from that of the records the run was trained with.

    Raises:
        UserError: naming both preprocessings.
    """
    if content.preprocessing != run.preprocessing:
        raise UserError(
            f"the records in {records!r} were made with {content.preprocessing}, the model in {run.folder!r} "
            f"was trained with {run.preprocessing}: build records with the same --image-size, --border and "
            "--sixteen-bits"
        )


def refuse_foreign_folder(run: str, *, overwrite: bool) -> None:
    """Refuses a folder that holds files which no command writes into a run folder.

    A run that is continued may hold others: it neither reads nor replaces them.

    Args:
        run: the folder, a path or a URL; there may be nothing.
        overwrite: whether the run is to be replaced.

    Raises:
        UserError: naming the first unknown file.
    """
    beginnings = (CONFIG, f"{SEARCH}/{SEARCH_SETTINGS}")
    if overwrite or not any(ownership.is_owned(run, name, RUN_FILES) for name in beginnings):
        ownership.refuse_unknown_files(run, RUN_FILES)


def check_split(run: Run, content: Manifest, records: str, split: Split) -> None:
    """Refuses a split that a run cannot be measured on.

    Args:
        run: the run.
        content: the `dataset.json` of the records.
        records: where the records are.
        split: the split.

    Raises:
        UserError: if the records have another preprocessing, or the split lacks a class.
    """
    check_same_preprocessing(run, content, records)
    if split not in content.splits or min(content.splits[split].classes.values()) == 0:
        raise UserError(
            f"the {split!r} split in {records!r} lacks images of a class: choose another --split, or records "
            "that have images of both classes"
        )


def refuse_other_records(run: str, content: Manifest, records: str, records_before: str) -> None:
    """Refuses to continue a run on other records than those it was begun with. Their path does not matter.

    Args:
        run: the run folder, a path or a URL.
        content: the `dataset.json` of the records that are given now.
        records: where these records are.
        records_before: where the records were when the run was begun. This is compared if the run folder has
            no `dataset.json`, as that of a search that an earlier version began.

    Raises:
        UserError: if they are not the same.
    """
    if storage.exists(storage.join(run, manifest.FILE_NAME)):
        are_the_same = manifest.load(run) == content
    else:
        are_the_same = records.rstrip("/") == records_before.rstrip("/")
    if not are_the_same:
        raise UserError(
            f"{run!r} was begun with other records than those in {records!r} (their {manifest.FILE_NAME} "
            "differs): give the same records to continue it, choose another folder, or use --overwrite"
        )


def begin(
    run: str,
    config: Mapping[str, Any],
    content: Manifest,
    environment: Mapping[str, Any],
    may_differ: Collection[str] = (),
) -> None:
    """Writes what is known before the training starts. A run folder that was begun before is only checked.

    Args:
        run: the folder, a path or a URL.
        config: the settings that decide the trained model.
        content: the `dataset.json` of the records.
        environment: what `describe_environment` returned.
        may_differ: names of settings in `config` that are not compared.

    Raises:
        UserError: if the folder was begun with another `config`; the message names the first difference.
    """
    path = storage.join(run, CONFIG)
    if not storage.exists(path):
        storage.write(storage.join(run, manifest.FILE_NAME), content.to_json())
        storage.write(storage.join(run, ENVIRONMENT), json.dumps(environment, indent=2) + "\n")
    # Last, so that a folder with a config.json has the other two files as well.
    continuing.begin_or_continue(path, config, f"{run!r} was begun", may_differ)


def delete(run: str) -> None:
    """Deletes the files of a run folder, if there is one."""
    ownership.delete_owned(run, RUN_FILES)


def set_training_aside(run: str) -> str:
    """Moves a training, with its evaluation, away from where a search trains a better architecture.

    Returns:
        The folder that holds it now: a run folder below `search/`.
    """
    digest = hashlib.sha256(storage.read(storage.join(run, CONFIG)).encode()).hexdigest()
    target = storage.join(run, SEARCH, f"earlier-{digest[:8]}")
    # This file stays, too: it says which records the search was begun with.
    storage.write(
        storage.join(target, manifest.FILE_NAME), storage.read(storage.join(run, manifest.FILE_NAME))
    )
    moved = {name: signature for name, signature in TRAINING_FILES.signatures.items() if name != _MANIFEST}
    ownership.move_owned(run, OwnedFiles(TRAINING_FILES.kind, moved), target, last=CONFIG)
    return target


def is_finished(run: str) -> bool:
    """Whether the folder holds a finished training."""
    return storage.exists(storage.join(run, OPERATING_POINT))


def stored_config(run: str) -> dict[str, Any]:
    """The content of `config.json`; empty if the folder was not begun."""
    path = storage.join(run, CONFIG)
    return continuing.read_json(path) if storage.exists(path) else {}


def stored_environment(run: str) -> dict[str, Any]:
    """The content of `environment.json`; empty if the folder was not begun."""
    path = storage.join(run, ENVIRONMENT)
    return continuing.read_json(path) if storage.exists(path) else {}


def describe_environment(seed: int, precision: str, data_order: str | None) -> dict[str, Any]:
    """Describes where and how a training runs, as `environment.json` holds it.

    Args:
        seed: the seed of the training.
        precision: the precision that the training computes in.
        data_order: how the training shuffles, as of `pipeline.dataset.data_order`; None if it may change.
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
        "data_order": data_order,
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
