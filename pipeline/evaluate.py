"""`python -m pipeline.evaluate RUN RECORDS`: measures a run on a split and writes `RUN/evaluation/`.

`metrics.json`, `predictions.csv`, `report.html` and the pictures in it.
"""

import dataclasses
import json
import logging
import math
from typing import Annotated, Any

import numpy as np
import tensorflow as tf
import tyro
from numpy.typing import NDArray

from pipeline import runs
from pipeline.input.arrays import load_arrays, load_origins
from pipeline.evaluation import figures, metrics, report, robustness
from pipeline.explanation import GradCam
from pipeline.runs import Run
from tfrecords_builder import manifest, storage
from tfrecords_builder.cli.command import run
from tfrecords_builder.errors import UserError
from tfrecords_builder.records import CLASS_NAMES, PNEUMONIA, Split

DEFAULT_THRESHOLD = 0.5
METRICS = "metrics.json"
PREDICTIONS = "predictions.csv"
REPORT = "report.html"

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Measures a run: accuracy, precision, recall, specificity, AUC, curves, robustness, Grad-CAM."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """Folder of a finished run; a path or a URL. The results go to RUN/evaluation/."""
    records: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECORDS")]
    """Folder of records made with the same preprocessing; a path or a URL."""
    split: Split = "test"
    """Which split is measured."""
    batch_size: int = 64
    """Images computed at once; does not change the results."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1. Received: {self.batch_size}")


def evaluate(run_folder: str, records: str, split: Split = "test", batch_size: int = 64) -> dict[str, Any]:
    """Measures a run and writes its evaluation.

    Returns:
        What `metrics.json` holds.

    Raises:
        UserError: if the run is not finished, or the records do not fit it.
    """
    loaded = runs.load(run_folder)
    content = manifest.load(records)
    runs.check_same_preprocessing(loaded, content, records)
    if split not in content.splits or min(content.splits[split].classes.values()) == 0:
        raise UserError(f"the {split!r} records in {records!r} lack a class: both are needed to evaluate")
    images, labels = (np.asarray(array) for array in load_arrays(records, split))
    origins = load_origins(records, split)
    probabilities = _predict(loaded, images, batch_size)
    heatmaps = _explain(loaded, images, batch_size)

    measured = _measure(loaded, split, labels, probabilities, [origin["subtype"] for origin in origins])
    measured["robustness"] = _measure_robustness(loaded, images, labels, batch_size)
    measured["gradcam"] = _measure_heat(heatmaps)

    folder = storage.join(run_folder, runs.EVALUATION)
    storage.write(storage.join(folder, METRICS), json.dumps(_without_nan(measured), indent=2) + "\n")
    storage.write(storage.join(folder, PREDICTIONS), _predictions_csv(origins, labels, probabilities))
    threshold = loaded.operating_point.threshold
    pictures = {
        "roc.png": figures.roc(labels, probabilities, threshold),
        "precision_recall.png": figures.precision_recall(labels, probabilities, threshold),
        "confusion.png": figures.confusion(measured["at_operating_point"]),
        "probabilities.png": figures.histogram(labels, probabilities, threshold),
        "gradcam_mean.png": figures.mean_heat(heatmaps, labels),
        "gradcam_examples.png": figures.examples(images, heatmaps, labels, probabilities, threshold),
    }
    for name, png in pictures.items():
        storage.write(storage.join(folder, name), png)
    storage.write(storage.join(folder, REPORT), report.render(loaded, content, measured, pictures))
    return measured


def _predict(loaded: Run, images: NDArray[np.uint8], batch_size: int) -> NDArray[np.float32]:
    return np.asarray(loaded.model.predict(images, batch_size=batch_size, verbose=0)[:, 0])


def _explain(loaded: Run, images: NDArray[np.uint8], batch_size: int) -> NDArray[np.float32]:
    explain = tf.function(GradCam(loaded.model))
    threshold = loaded.operating_point.threshold
    batches = range(0, len(images), batch_size)
    return np.concatenate([explain(images[at : at + batch_size], threshold)[1].numpy() for at in batches])


def _measure(
    loaded: Run,
    split: Split,
    labels: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    subtypes: list[str],
) -> dict[str, Any]:
    threshold = loaded.operating_point.threshold
    found = probabilities >= threshold
    sensitivity_of_subtype = {}
    for subtype in sorted(set(subtypes) - {""}):
        of_subtype = (np.array(subtypes) == subtype) & (labels == PNEUMONIA)
        if of_subtype.any():
            sensitivity_of_subtype[subtype] = float(found[of_subtype].mean())
    return {
        "split": split,
        "images": {name: int((labels == label).sum()) for label, name in enumerate(CLASS_NAMES)},
        "over_thresholds": dataclasses.asdict(metrics.over_thresholds(labels, probabilities)),
        "at_operating_point": dataclasses.asdict(metrics.at_threshold(labels, probabilities, threshold)),
        "at_half": dataclasses.asdict(metrics.at_threshold(labels, probabilities, DEFAULT_THRESHOLD)),
        "sensitivity_of_subtype": sensitivity_of_subtype,
    }


def _measure_robustness(
    loaded: Run, images: NDArray[np.uint8], labels: NDArray[np.float32], batch_size: int
) -> dict[str, dict[str, float]]:
    """AUC, sensitivity and specificity after each known change of the acquisition."""
    measured = {}
    for name, change in {"as it is": lambda image: image, **robustness.CHANGES}.items():
        probabilities = _predict(loaded, robustness.changed(images, change), batch_size)
        at_point = metrics.at_threshold(labels, probabilities, loaded.operating_point.threshold)
        measured[name] = {
            "auc": metrics.auc(labels, probabilities),
            "sensitivity": at_point.sensitivity.value,
            "specificity": at_point.specificity.value,
        }
    return measured


def _measure_heat(heatmaps: NDArray[np.float32]) -> dict[str, float]:
    """How much of the heat lies in the outermost tenth of the image, where no lung is."""
    side = heatmaps.shape[1]
    margin = max(1, side // 10)
    inner = heatmaps[:, margin : side - margin, margin : side - margin]
    total = heatmaps.sum()
    return {
        "share_of_heat_in_border": float(1 - inner.sum() / total) if total else math.nan,
        "share_of_area_in_border": 1 - (1 - 2 * margin / side) ** 2,
        "images_without_heat": int((heatmaps.max(axis=(1, 2)) == 0).sum()),
    }


def _predictions_csv(
    origins: list[dict[str, str]], labels: NDArray[np.float32], probabilities: NDArray[np.float32]
) -> str:
    return storage.to_csv(
        [
            origin | {"label": CLASS_NAMES[int(label)], "probability": f"{probability:.6f}"}
            for origin, label, probability in zip(origins, labels, probabilities, strict=True)
        ]
    )


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: null says that there was nothing to take a rate of."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def main(config: EvaluateConfig) -> None:
    """Evaluates, prints the main figures and says where the report is."""
    measured = evaluate(config.run, config.records, config.split, config.batch_size)
    print(report.summary(measured))  # noqa: T201
    print(storage.join(config.run, runs.EVALUATION, REPORT))  # noqa: T201


if __name__ == "__main__":
    run(main, EvaluateConfig, "python -m pipeline.evaluate")
