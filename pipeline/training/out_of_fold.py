"""What the models of all folds predict for the images that they were not trained with: `out_of_fold.csv`."""

import csv
import dataclasses
import io
from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline import runs
from pipeline.decision import operating_point
from pipeline.decision.operating_point import OperatingPoint, Rule
from pipeline.input.arrays import load_arrays, load_origins
from pipeline.model import predict_probabilities
from pipeline.training import label_noise
from tfrecords_builder import storage

CHOSEN_ON = "out-of-fold predictions of train and val"


@dataclasses.dataclass(frozen=True)
class OutOfFold:
    """The predictions; one element an image."""

    origins: list[dict[str, str]]
    """`source`, `patient` and `subtype`."""
    folds: NDArray[np.int64]
    """The fold that the image belongs to, counted from 1."""
    labels: NDArray[np.int64]
    """0 or 1."""
    probabilities: NDArray[np.float64]
    """Probability of pneumonia, 0 to 1."""
    suspicion: NDArray[np.float64]
    """How surely the label is wrong, as of `pipeline.training.label_noise.suspicion`."""


def predict(records_of_folds: Sequence[str], models: Sequence[keras.Model], batch_size: int) -> OutOfFold:
    """Lets the model of each fold predict the images of its fold.

    Args:
        records_of_folds: for each fold its records folder, in which `val` is the fold.
        models: for each fold the model that was trained without it.
        batch_size: images that a model computes at once.
    """
    origins, folds, labels, probabilities = [], [], [], []
    for fold, (records, model) in enumerate(zip(records_of_folds, models, strict=True), start=1):
        images, of_fold = load_arrays(records, "val")
        predicted = predict_probabilities(model, images, batch_size)
        origins += load_origins(records, "val")
        labels.append(of_fold.astype(np.int64))
        folds.append(np.full(len(predicted), fold))
        probabilities.append(predicted.astype(np.float64))
    all_labels, all_probabilities = np.concatenate(labels), np.concatenate(probabilities)
    suspicion = label_noise.suspicion(all_labels, all_probabilities)
    return OutOfFold(origins, np.concatenate(folds), all_labels, all_probabilities, suspicion)


def choose_operating_point(predicted: OutOfFold, rule: Rule, *, trust_labels: bool) -> OperatingPoint:
    """Chooses the threshold, by default without the images whose label is suspicious.

    Args:
        predicted: the predictions of all folds.
        rule: what it is chosen by.
        trust_labels: whether no image is left out.
    """

    def choose(chosen: NDArray[np.bool_], chosen_on: str) -> OperatingPoint:
        labels, probabilities = predicted.labels[chosen], predicted.probabilities[chosen]
        return operating_point.choose(labels, probabilities, rule, chosen_on)

    suspicious = predicted.suspicion > 0
    on_all = choose(np.ones_like(suspicious), CHOSEN_ON)
    if trust_labels or not suspicious.any():
        return on_all
    return dataclasses.replace(
        choose(~suspicious, f"{CHOSEN_ON}, without labels that may be wrong"),
        labels_left_out=int(suspicious.sum()),
        threshold_with_all_labels=on_all.threshold,
    )


def write_table(run: str, predicted: OutOfFold) -> None:
    """Writes `out_of_fold.csv` into a run folder, one row an image."""
    columns = (predicted.folds, predicted.labels, predicted.probabilities, predicted.suspicion)
    rows = [
        origin
        | {"fold": fold, "label": label, "probability": f"{probability:.7g}", "suspicion": f"{sure:.7g}"}
        for origin, fold, label, probability, sure in zip(predicted.origins, *columns, strict=True)
    ]
    storage.write(storage.join(run, runs.OUT_OF_FOLD), storage.to_csv(rows))


def read_table(run: str) -> OutOfFold:
    """Reads `out_of_fold.csv` of a run folder."""
    rows = list(csv.DictReader(io.StringIO(storage.read(storage.join(run, runs.OUT_OF_FOLD)))))
    return OutOfFold(
        origins=[{name: row[name] for name in ("source", "patient", "subtype")} for row in rows],
        folds=np.array([int(row["fold"]) for row in rows]),
        labels=np.array([int(row["label"]) for row in rows]),
        probabilities=np.array([float(row["probability"]) for row in rows]),
        suspicion=np.array([float(row["suspicion"]) for row in rows]),
    )
