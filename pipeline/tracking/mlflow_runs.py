"""Trainings, evaluations and searches as runs of MLflow (https://mlflow.org), logged from finished folders.

A run folder is one run of MLflow; `RUN/mlflow.json` names it, so that an evaluation is added to the run of
its training, and nothing is logged twice. Images and names of patients are not logged, except in the page of
an evaluation.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline import runs
from pipeline.decision import calibration, operating_point
from pipeline.training import history
from tfrecords_builder import manifest, storage
from tfrecords_builder.errors import UserError, first_line

URI = "MLFLOW_TRACKING_URI"
"""Environment variable: the server that is logged to where no option names one."""
EXPERIMENT = "MLFLOW_EXPERIMENT_NAME"
"""Environment variable: the experiment that runs belong to."""
DEFAULT_EXPERIMENT = "pneumonia"
_LONGEST_PARAMETER = 500  # characters; MLflow refuses longer ones
_RETRIES = ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # MLflow's own 7 keep a user waiting for minutes
_SMALL_FILES = (
    runs.CONFIG,
    runs.ENVIRONMENT,
    manifest.FILE_NAME,
    runs.HISTORY,
    calibration.FILE_NAME,
    operating_point.FILE_NAME,
)
_TAGS = ("git_commit", "keras_backend", "precision")


class Tracker:
    """Logs to one server.

    Args:
        uri: its address, as MLflow takes it.

    Raises:
        UserError: if MLflow is not installed, or the server does not answer.
    """

    def __init__(self, uri: str) -> None:
        try:
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
        except ImportError:
            raise UserError(
                "MLflow is not installed: install it with `pip install -c constraints.txt -e '.[mlflow]'`, "
                f"or leave --mlflow and {URI} unset"
            ) from None
        os.environ.setdefault(*_RETRIES)
        self._uri, self._exception = uri, MlflowException
        try:
            self._client: MlflowClient = MlflowClient(tracking_uri=uri)
            self._experiment = self._experiment_id(os.environ.get(EXPERIMENT) or DEFAULT_EXPERIMENT)
        except MlflowException as error:
            raise UserError(f"MLflow at {uri!r} cannot be used: {first_line(error)}") from None

    def log_training(self, run: str, parent: str | None = None) -> str:
        """Logs settings, epochs, operating point, files and model of a finished run folder.

        Args:
            run: the run folder, a path or a URL.
            parent: identifier of the MLflow run that this one belongs to, as that of a search.

        Returns:
            The identifier of the MLflow run.

        Raises:
            UserError: if the server does not take it. The run folder stays as it is.
        """
        try:
            return self._log_training(run, parent)
        except self._exception as error:
            raise self._refused(run, error) from None

    def log_evaluation(self, run: str, folder: str, metrics: Mapping[str, Any]) -> None:
        """Adds an evaluation to the MLflow run of its training, which is logged first if it was not.

        Args:
            run: the run folder, a path or a URL.
            folder: the folder of the evaluation, in the run folder.
            metrics: the content of its `metrics.json`.

        Raises:
            UserError: if the server does not take it. Both folders stay as they are.
        """
        name = folder.rstrip("/").rpartition("/")[2]
        try:
            identifier = self._log_training(run, None)
            self._log_figures(identifier, metrics, f"{name}/")
            for file, is_folder in storage.entries(folder):
                if not is_folder and file.endswith((".html", ".png", ".md", "metrics.json")):
                    self._log_file(identifier, storage.join(folder, file), f"{runs.EVALUATION}/{name}")
        except self._exception as error:
            raise self._refused(folder, error) from None

    def log_search(self, run: str, trials: Mapping[str, Mapping[str, Any]]) -> None:
        """Logs the final training of a search, and each trial as a run below it.

        Args:
            run: the run folder of the search, a path or a URL.
            trials: what each trial reached, by its run folder.

        Raises:
            UserError: if the server does not take it. All folders stay as they are.
        """
        try:
            parent = self._log_training(run, None)
            for folder, reached in trials.items():
                self._log_figures(self._log_training(folder, parent), reached, "trial/")
        except self._exception as error:
            raise self._refused(run, error) from None

    def _refused(self, folder: str, error: Exception) -> UserError:
        return UserError(
            f"{folder!r} is finished, but MLflow at {self._uri!r} did not take it: {first_line(error)}. "
            "The same command logs it again"
        )

    def _experiment_id(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return found.experiment_id if found else self._client.create_experiment(name)

    def _log_training(self, run: str, parent: str | None) -> str:
        identifier, epochs = self._known(run)
        if identifier is None:
            identifier = self._begin(run, parent)
        rows = history.read(run)
        for row in rows[epochs:]:
            self._log_figures(identifier, row, "", step=int(row["epoch"]))
        if epochs < len(rows) or not epochs:
            self._log_result(run, identifier)
        known = {"tracking_uri": self._uri, "run_id": identifier, "epochs": len(rows)}
        storage.write(storage.join(run, runs.MLFLOW), json.dumps(known, indent=2) + "\n")
        return identifier

    def _known(self, run: str) -> tuple[str | None, int]:
        """The MLflow run of a run folder, None if there is none on this server, and its epochs there."""
        path = storage.join(run, runs.MLFLOW)
        known = json.loads(storage.read(path)) if storage.exists(path) else {}
        if known.get("tracking_uri") != self._uri:
            return None, 0
        return known["run_id"], known["epochs"]

    def _begin(self, run: str, parent: str | None) -> str:
        environment = runs.stored_environment(run)
        tags = {name: str(environment[name]) for name in _TAGS if environment.get(name)}
        if parent is not None:
            tags["mlflow.parentRunId"] = parent
        name = run.rstrip("/").rpartition("/")[2]
        identifier: str = self._client.create_run(self._experiment, run_name=name, tags=tags).info.run_id
        for key, value in flatten(runs.stored_config(run)):
            self._client.log_param(identifier, key, str(value)[:_LONGEST_PARAMETER])
        return identifier

    def _log_result(self, run: str, identifier: str) -> None:
        for name in (operating_point.FILE_NAME, calibration.FILE_NAME):
            if storage.exists(path := storage.join(run, name)):
                self._log_figures(identifier, json.loads(storage.read(path)), f"{Path(name).stem}/")
        for name in (*_SMALL_FILES, runs.MODEL):
            if storage.exists(path := storage.join(run, name)):
                self._log_file(identifier, path, None)
        self._client.set_terminated(identifier)

    def _log_figures(self, identifier: str, figures: Mapping[str, Any], prefix: str, step: int = 0) -> None:
        """Logs all finite numbers of nested figures."""
        for key, value in flatten(figures):
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                self._client.log_metric(identifier, _allowed(f"{prefix}{key}"), value, step=step)

    def _log_file(self, identifier: str, path: str, folder: str | None) -> None:
        storage.read_with(path, lambda local: self._client.log_artifact(identifier, local, folder))


def tracker(uri: str | None) -> Tracker | None:
    """The tracker of an option, or of the variable MLFLOW_TRACKING_URI; None if neither is set."""
    uri = uri or os.environ.get(URI)
    return Tracker(uri) if uri else None


def flatten(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested objects, with the keys above them joined by dots; of an interval its value."""
    for key, value in figures.items():
        if isinstance(value, Mapping) and set(value) == {"value", "low", "high"}:
            yield f"{prefix}{key}", value["value"]
        elif isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _allowed(name: str) -> str:
    """A name of a metric with only what MLflow allows in it."""
    return "".join(character if character.isalnum() or character in "_-. :/" else "_" for character in name)
