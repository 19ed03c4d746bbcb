"""Measures a run on a split of records and writes `RUN/evaluation/<name>-<split>/`."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import runs
from pipeline.evaluation import (
    DEFAULT_PREVALENCES,
    calibration,
    counts,
    data_flow,
    discrimination,
    exchanges,
    explanations,
    faithfulness,
    model_card,
    net_benefit,
    page,
    prevalence,
    robustness,
    subgroups,
    thresholds,
    verdict,
    warnings,
)
from pipeline.evaluation.lesions import load_masks
from pipeline.evaluation.part import Part, Subject
from pipeline.evaluation.predictions import Predictions, predict_split
from pipeline.input.arrays import Masks, load_lungs
from tfrecords_builder import manifest, storage
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Manifest
from tfrecords_builder.ownership import refuse_unknown_files
from tfrecords_builder.records import Split

SCHEMA_VERSION = 2
"""Version of `metrics.json`, raised when the meaning of a key changes or a key is removed."""
METRICS = "metrics.json"
PREDICTIONS = "predictions.csv"
PAGE = "report.html"

PARTS: tuple[Callable[[Subject], Part], ...] = (
    counts.measure_part,
    data_flow.measure_part,
    discrimination.measure_part,
    thresholds.measure_part,
    prevalence.measure_part,
    net_benefit.measure_part,
    calibration.measure_part,
    subgroups.measure_part,
    robustness.measure_part,
    explanations.measure_part,
    exchanges.measure_part,
    warnings.measure_part,
)
"""The parts of an evaluation, in the order of `metrics.json` and of the page. The verdict comes first."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What an evaluation found, and where it is written."""

    metrics: dict[str, Any]
    """What `metrics.json` holds; see docs/metrics.md."""
    summary: str
    """The main figures as a few lines of text."""
    page: str
    """Path of `report.html`."""
    name: str
    """Name of its folder below `RUN/evaluation/`."""
    predictions: Predictions
    pictures: Mapping[str, bytes]
    """All PNG files by name."""


def evaluate(
    run_folder: str,
    records: str,
    split: Split = "test",
    batch_size: int = 64,
    *,
    name: str | None = None,
    prevalences: Sequence[float] = DEFAULT_PREVALENCES,
    measure_explanations: bool = False,
    lesions: str | None = None,
) -> Evaluation:
    """Measures a run and writes page, figures, predictions and pictures to `RUN/evaluation/<name>-<split>/`.

    Args:
        run_folder: folder of a finished run; a path or a URL.
        records: folder of records that were built with the run's preprocessing; a path or a URL.
        split: `train`, `val` or `test`.
        batch_size: images that the model computes at once. The figures do not depend on it.
        name: name of the evaluation; by default that of the records folder.
        prevalences: shares of patients with pneumonia, 0 to 1, for which predictive values are computed.
        measure_explanations: whether deletion, insertion and random weights are measured, too.
        lesions: JSON file of known lesions, as of `pipeline.evaluation.lesions`; these are measured, too.
            Without it, the lesions that the records tell are measured with the explanations.

    Raises:
        UserError: if the run is not finished, if the records do not fit it, or if the folder holds the
            evaluation of other records, or files that no evaluation wrote.
    """
    name = f"{name or name_of(records)}-{split}"
    folder = storage.join(run_folder, runs.EVALUATION, name)
    refuse_unknown_files(folder, runs.EVALUATION_FILES)
    run = runs.load(run_folder)
    storage.check_writable(folder)
    content = manifest.load(records)
    runs.check_split(run, content, records, split)
    _refuse_other_evaluation(folder, content, records)
    predictions, images, known = predict_split(run, records, split, batch_size)
    if lesions is not None:
        known = Masks.pack(load_masks(lesions, predictions.sources, run.preprocessing))
    subject = Subject(
        run,
        images,
        predictions,
        batch_size,
        load_lungs(records, split),
        records=content,
        trained_with=manifest.load(run.folder),
        prevalences=prevalences,
        lesions=known,
    )
    chosen = (*PARTS, faithfulness.measure_part) if measure_explanations or lesions else PARTS
    parts = [measure_part(subject) for measure_part in chosen]
    parts = [verdict.measure_part(subject, parts), *parts]
    metrics = collect_metrics(parts)
    pictures = {name: png for part in parts for name, png in part.pictures.items()}
    _write(folder, subject, parts, metrics, pictures)
    summary = "\n".join(part.summary for part in parts if part.summary)
    return Evaluation(metrics, summary, storage.join(folder, PAGE), name, predictions, pictures)


def name_of(records: str) -> str:
    """The name of a records folder, without characters that are awkward in the name of another folder."""
    path = records.rstrip("/") if storage.is_url(records) else str(Path(records).resolve())
    return re.sub(rf"[^{runs.EVALUATION_NAME_CHARACTERS}]+", "_", path.rpartition("/")[2])


def _refuse_other_evaluation(folder: str, content: Manifest, records: str) -> None:
    """Refuses to write over the evaluation of other records."""
    if storage.exists(storage.join(folder, manifest.FILE_NAME)) and manifest.load(folder) != content:
        raise UserError(
            f"{folder!r} holds an evaluation of other records than those in {records!r}: give another --name"
        )


def collect_metrics(parts: Sequence[Part]) -> dict[str, Any]:
    """What `metrics.json` holds: the figures of all parts, with None for NaN.

    Raises:
        ValueError: if two parts have a figure of the same name.
    """
    metrics: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    for part in parts:
        figures = storage.null_for_nan(dataclasses.asdict(part.figures))
        if repeated := metrics.keys() & figures.keys():
            raise ValueError(f"part {part.name!r} repeats the keys {sorted(repeated)} of another part")
        metrics |= figures
    return metrics


def _write(
    folder: str,
    subject: Subject,
    parts: Sequence[Part],
    metrics: dict[str, Any],
    pictures: Mapping[str, bytes],
) -> None:
    storage.write(storage.join(folder, manifest.FILE_NAME), subject.records.to_json())
    storage.write(storage.join(folder, METRICS), storage.to_json(metrics))
    storage.write(storage.join(folder, PREDICTIONS), subject.predictions.to_csv())
    for name, png in pictures.items():
        storage.write(storage.join(folder, name), png)
    card = model_card.render(subject, parts, folder.rpartition("/")[2])
    storage.write(storage.join(folder, model_card.FILE_NAME), card)
    storage.write(storage.join(folder, PAGE), page.render(subject, parts))
    for name, _ in list(storage.entries(folder)):  # of an evaluation before, which had more pictures
        if name.endswith(".png") and name not in pictures:
            storage.remove(storage.join(folder, name))
