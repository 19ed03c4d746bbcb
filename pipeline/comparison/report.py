"""Writes a comparison: figures, a page, and the images on which the runs disagree."""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from pipeline import pages
from pipeline.comparison.evaluated import Evaluated, read
from pipeline.comparison.measure import Comparison, measure
from pipeline.input.arrays import load_arrays, load_origins
from tfrecords_builder import storage
from tfrecords_builder.errors import UserError
from tfrecords_builder.ownership import OwnedFiles, refuse_unknown_files
from tfrecords_builder.records import CLASS_NAMES, Split

SCHEMA_VERSION = 1
FILES = OwnedFiles(
    "a comparison",
    {
        r"comparison\.json": b'"schema_version"',
        r"disagreements\.csv": b"^source,patient,",
        r"comparison\.html": b"<title>Comparison ",
    },
)
MOST_PICTURES = 60


@dataclasses.dataclass(frozen=True)
class _Disagreement:
    source: str
    patient: str
    label: str
    called: list[str]
    probabilities: list[float]


def compare(
    run_folders: Sequence[str], output: str, evaluation: str | None, records: str | None
) -> Comparison:
    """Compares runs and writes `comparison.json`, `comparison.html` and `disagreements.csv`.

    Args:
        run_folders: folders of at least two runs that have evaluated the same images; the first is what the
            others are compared with.
        output: the folder to write; a path or a URL.
        evaluation: name of the folder below `RUN/evaluation/`; None for the only one that all runs have.
        records: folder of records with these images, for their pictures; None for a page without pictures.

    Raises:
        UserError: if the runs have evaluated different images, or `output` holds other files.
    """
    refuse_unknown_files(output, FILES)
    evaluated = read(run_folders, evaluation)
    disagreements = _disagreements(evaluated)
    shown = [one.source for one in disagreements[:MOST_PICTURES]]
    pictures = {} if records is None else _pictures(evaluated, records, shown)
    comparison = measure(evaluated)
    values = {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(comparison)}
    page = pages.environment("pipeline.comparison").get_template("comparison.html.jinja")
    storage.write(storage.join(output, "comparison.json"), storage.to_json(values))
    storage.write(storage.join(output, "disagreements.csv"), _to_csv(evaluated, disagreements))
    storage.write(
        storage.join(output, "comparison.html"),
        page.render(
            comparison=comparison, disagreements=disagreements, pictures=pictures, most=MOST_PICTURES
        ),
    )
    return comparison


def _disagreements(evaluated: Evaluated) -> list[_Disagreement]:
    """The images that the runs call differently, those with the largest difference of probability first."""
    differs = evaluated.called.any(axis=0) & ~evaluated.called.all(axis=0)
    spread = np.ptp(evaluated.probabilities, axis=0)
    return [
        _Disagreement(
            evaluated.sources[position],
            str(evaluated.patients[position]),
            CLASS_NAMES[int(evaluated.is_pneumonia[position])],
            [CLASS_NAMES[int(called)] for called in evaluated.called[:, position]],
            [float(probability) for probability in evaluated.probabilities[:, position]],
        )
        for position in sorted(np.flatnonzero(differs), key=lambda position: -spread[position])
    ]


def _pictures(evaluated: Evaluated, records: str, shown: Sequence[str]) -> dict[str, bytes]:
    """Some images of the evaluated split as PNG files, by their source."""
    split: Split = evaluated.evaluation.rpartition("-")[2]  # type: ignore[assignment]
    sources = [origin["source"] for origin in load_origins(records, split)]
    if missing := set(evaluated.sources) - set(sources):
        raise UserError(
            f"{records!r} has no image {min(missing)!r} in {split!r}: give records of the same images"
        )
    images = load_arrays(records, split)[0]
    return {source: cv2.imencode(".png", images[sources.index(source)])[1].tobytes() for source in shown}


def _to_csv(evaluated: Evaluated, disagreements: Sequence[_Disagreement]) -> str:
    header = ["source", "patient", "label", *(f"probability {run}" for run in evaluated.runs)]
    rows = [[one.source, one.patient, one.label, *one.probabilities] for one in disagreements]
    return (
        storage.to_csv([dict(zip(header, row, strict=True)) for row in rows])
        if rows
        else ",".join(header) + "\n"
    )
