"""Reads what several runs predicted for the same images."""

import csv
import dataclasses
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline import runs
from tfrecords_builder import continuing, storage
from tfrecords_builder.errors import UserError
from tfrecords_builder.records import CLASS_NAMES, PNEUMONIA


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluated:
    """The images of one split, and what each run predicts for them."""

    evaluation: str
    """Name of the folder below `RUN/evaluation/`."""
    runs: tuple[str, ...]
    sources: tuple[str, ...]
    patients: NDArray[np.str_]
    is_pneumonia: NDArray[np.bool_]
    """(images,)."""
    probabilities: NDArray[np.float64]
    """Probability of pneumonia, 0 to 1, (runs, images)."""
    called: NDArray[np.bool_]
    """Whether a run called an image PNEUMONIA, at the operating point that it was evaluated with, (runs,
    images)."""


def read(run_folders: Sequence[str], evaluation: str | None) -> Evaluated:
    """Reads the predictions of runs that have evaluated the same images.

    Args:
        run_folders: folders of at least two runs; paths or URLs.
        evaluation: name of the folder below `RUN/evaluation/`; None for the only one that all runs have.

    Raises:
        UserError: if a run lacks the evaluation, or the runs have evaluated different images.
    """
    evaluation = evaluation or _common_evaluation(run_folders)
    tables = [_rows(run, evaluation) for run in run_folders]
    first = tables[0]
    for run, table in zip(run_folders, tables, strict=True):
        if {name: row["label"] for name, row in table.items()} != {
            name: row["label"] for name, row in first.items()
        }:
            raise UserError(
                f"{run!r} and {run_folders[0]!r} have evaluated different images in {evaluation!r}: evaluate "
                "both on records of the same images"
            )
    probabilities = np.array([[float(table[name]["probability"]) for name in first] for table in tables])
    thresholds = [_threshold(run, evaluation) for run in run_folders]
    return Evaluated(
        evaluation,
        tuple(run_folders),
        tuple(first),
        np.array([row["patient"] for row in first.values()]),
        np.array([row["label"] == CLASS_NAMES[PNEUMONIA] for row in first.values()]),
        probabilities,
        probabilities >= np.array(thresholds)[:, None],
    )


def _common_evaluation(run_folders: Sequence[str]) -> str:
    of_runs = []
    for run in run_folders:
        folder = storage.join(run, runs.EVALUATION)
        of_runs.append({name for name, is_folder in storage.entries(folder) if is_folder})
    common = sorted(set.intersection(*of_runs))
    if len(common) == 1:
        return common[0]
    found = f"these: {', '.join(common)}; choose one with --evaluation" if common else "none"
    raise UserError(
        f"expected one evaluation that all runs have, found {found}: python -m pipeline.evaluate RUN RECORDS "
        "evaluates a run"
    )


def _rows(run: str, evaluation: str) -> dict[str, dict[str, str]]:
    """The rows of `predictions.csv` by the source of the image."""
    path = storage.join(run, runs.EVALUATION, evaluation, "predictions.csv")
    if not storage.exists(path):
        raise UserError(f"no {path!r}: evaluate the run first with python -m pipeline.evaluate")
    return {row["source"]: row for row in csv.DictReader(io.StringIO(storage.read(path)))}


def _threshold(run: str, evaluation: str) -> float:
    metrics = continuing.read_json(storage.join(run, runs.EVALUATION, evaluation, "metrics.json"))
    return float(metrics["at_operating_point"]["threshold"])
