"""Writes the folder of a version: the SavedModel, its warm-up requests, and files that identify its run."""

import hashlib

import tensorflow as tf

from pipeline import runs
from pipeline.decision import calibration, operating_point
from pipeline.runs import Run
from serving.exporting.warm_up import write_warm_up
from serving.names import EXTRA_ASSETS
from serving.signatures import ServedClassifier
from tfrecords_builder import manifest, storage

GRAPH_FILE = "saved_model.pb"

_FILES_OF_RUN = (
    runs.CONFIG,
    runs.ENVIRONMENT,
    calibration.FILE_NAME,
    runs.SITE,
    operating_point.FILE_NAME,
    manifest.FILE_NAME,
)
_METRICS = f"{runs.EVALUATION}/metrics.json"
"""Where an exported version has the figures of its run. Runs of version 0.2 have them there too."""


def write(run: Run, folder: str) -> None:
    """Writes a version.

    Args:
        run: the run whose model is written.
        folder: the new folder of the version; a path or a URL.
    """
    served = ServedClassifier(run)
    tf.saved_model.save(served, folder, signatures=served.signatures())
    write_warm_up(run.preprocessing, folder)
    _write_origin(run, storage.join(folder, EXTRA_ASSETS, "run"))


def _write_origin(run: Run, folder: str) -> None:
    """Copies the small files of the run, and writes the SHA-256 digest of its model file."""
    sources = {name: storage.join(run.folder, name) for name in _FILES_OF_RUN}
    sources[_METRICS] = _own_metrics(run)
    for name, source in sources.items():
        if storage.exists(source):
            storage.write(storage.join(folder, name), storage.read(source))
    digest = hashlib.sha256(storage.read_bytes(storage.join(run.folder, runs.MODEL))).hexdigest()
    storage.write(storage.join(folder, f"{runs.MODEL}.sha256"), f"{digest}\n")


def _own_metrics(run: Run) -> str:
    """The path of the figures on the test split of the records that the model was trained with."""
    evaluations = storage.join(run.folder, runs.EVALUATION)
    trained_with = storage.read(storage.join(run.folder, manifest.FILE_NAME))
    for name, _ in sorted(storage.entries(evaluations)):
        measured = storage.join(evaluations, name, manifest.FILE_NAME)
        if name.endswith("-test") and storage.exists(measured) and storage.read(measured) == trained_with:
            return storage.join(evaluations, name, "metrics.json")
    return storage.join(run.folder, _METRICS)
