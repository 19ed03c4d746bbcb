"""The page of the labels that may be wrong: `labels.html` in the run folder of a training in folds."""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from pipeline import pages, runs
from pipeline.decision.operating_point import OperatingPoint
from pipeline.input.arrays import load_arrays
from pipeline.training.out_of_fold import OutOfFold
from tfrecords_builder import storage
from tfrecords_builder.records import CLASS_NAMES

MOST_SHOWN = 60


@dataclasses.dataclass(frozen=True)
class _Suspect:
    source: str
    label: str
    probability: float
    png: bytes


def write(run: str, records_of_folds: Sequence[str], predicted: OutOfFold, point: OperatingPoint) -> None:
    """Writes the page into a run folder.

    Args:
        run: the run folder, a path or a URL.
        records_of_folds: for each fold its records folder, in which `val` is the fold.
        predicted: the predictions of all folds.
        point: the operating point that was chosen on them.
    """
    suspects = np.flatnonzero(predicted.suspicion > 0)
    suspects = suspects[np.argsort(-predicted.suspicion[suspects], kind="stable")]
    page = (
        pages.environment("pipeline.training")
        .get_template("labels.html.jinja")
        .render(
            run=run,
            images=len(predicted.labels),
            suspects=suspects,
            share=f"{len(suspects) / len(predicted.labels):.1%}",
            classes=[
                (
                    name,
                    int((predicted.labels == label).sum()),
                    int((predicted.labels[suspects] == label).sum()),
                )
                for label, name in enumerate(CLASS_NAMES)
            ],
            point=point,
            shown=_pictures(records_of_folds, predicted, suspects[:MOST_SHOWN]),
        )
    )
    storage.write(storage.join(run, runs.LABELS), page)


def _pictures(records_of_folds: Sequence[str], predicted: OutOfFold, chosen: np.ndarray) -> list[_Suspect]:
    images: dict[int, np.ndarray] = {}
    for fold, records in enumerate(records_of_folds, start=1):
        of_fold = np.flatnonzero(predicted.folds == fold)
        wanted = np.intersect1d(of_fold, chosen)
        if wanted.size:
            loaded = load_arrays(records, "val")[0]
            images |= {int(position): loaded[position - of_fold[0]] for position in wanted}
    return [
        _Suspect(
            source=predicted.origins[position]["source"],
            label=CLASS_NAMES[predicted.labels[position]],
            probability=float(predicted.probabilities[position]),
            png=cv2.imencode(".png", images[int(position)])[1].tobytes(),
        )
        for position in chosen
    ]
