"""Fits calibration and threshold to a new site, tests them there, and writes a run folder to be exported.

The weights of the network stay. What is fitted are three numbers: slope and intercept of the logits, and the
threshold. A model that does not rank the site's images cannot be mended so, and is refused.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline import runs
from pipeline.decision import calibration, operating_point
from pipeline.decision.calibration import Calibration
from pipeline.decision.operating_point import OperatingPoint, Rule
from pipeline.evaluation import calibration as measured_calibration
from pipeline.evaluation import counts, discrimination, thresholds, verdict
from pipeline.evaluation.intervals import Interval, bootstrap_by_patient
from pipeline.evaluation.predictions import Predictions, predict_split
from pipeline.network.calibrated import without_calibration
from pipeline.runs import Run
from pipeline.training.calibrate import save_calibrated
from tfrecords_builder import manifest, storage
from tfrecords_builder.errors import UserError
from tfrecords_builder.records import CLASS_NAMES, Split

_COPIED = (runs.CONFIG, runs.ENVIRONMENT, manifest.FILE_NAME, runs.HISTORY)


@dataclasses.dataclass(frozen=True)
class Tested:
    """What a calibration and a threshold reach on images that they were not fitted on."""

    sensitivity: Interval
    specificity: Interval
    brier: Interval
    calibration_slope: Interval
    calibration_intercept: Interval


@dataclasses.dataclass(frozen=True)
class Refit:
    """What was fitted to a site, on which images, and what it reaches there."""

    records: str
    split: Split
    seed: int
    """Seed of the draw of the images that were fitted on."""
    fitted_images: dict[str, int]
    """Number of images of each class that were fitted on."""
    tested_images: dict[str, int]
    """Number of images of each class that were tested on; none of a patient of the others."""
    auc: Interval
    """Of all images: calibration and threshold do not change it."""
    slope: Interval
    """Factor of the logits of the network, fitted."""
    intercept: Interval
    """Added to the logits, fitted."""
    threshold: Interval
    """The threshold, fitted."""
    before: Tested
    """With calibration and threshold of the run."""
    after: Tested
    """With those of the site."""
    fitted_on: list[str]
    """Paths of the images that were fitted on, relative to the source folder of the records."""

    def __str__(self) -> str:
        """What the command prints."""
        rows = [("", "before", "now")] + [
            (name.replace("_", " "), str(getattr(self.before, name)), str(getattr(self.after, name)))
            for name in (field.name for field in dataclasses.fields(Tested))
        ]
        return "\n".join(
            [
                f"fitted on {sum(self.fitted_images.values())} images: {self.fitted_images}",
                f"slope of the logits {self.slope}, intercept {self.intercept}, threshold {self.threshold}",
                f"tested on the other {sum(self.tested_images.values())}: {self.tested_images}",
                f"AUC of all images {self.auc}",
                *(f"{name:22}{before:32}{now}" for name, before, now in rows),
            ]
        )


def refit(
    run_folder: str,
    records: str,
    split: Split,
    new_run: str,
    *,
    images: int,
    rule: Rule,
    seed: int,
    batch_size: int,
) -> Refit:
    """Fits a run to a site and writes a new run folder, with `site.json`.

    Args:
        run_folder: folder of a finished run; a path or a URL.
        records: folder of the site's records, built with the run's preprocessing; a path or a URL.
        split: the split of the records.
        new_run: the folder that is written; a path or a URL. There must be nothing yet.
        images: number of images that are fitted on, at least; all images of a patient are together.
        rule: what the threshold is chosen by.
        seed: seed of the draw of the patients that are fitted on.
        batch_size: images that the model computes at once.

    Raises:
        UserError: if the run is not finished, the records do not fit it, the new folder is not empty, the
            images are too few, no threshold fulfills the rule, or the model does not rank the site's images.
            Nothing is written then.
    """
    run = runs.load(run_folder)
    runs.refuse_foreign_folder(new_run, overwrite=True)
    if runs.is_finished(new_run):
        raise UserError(f"{new_run!r} holds a run already: choose another name for the run of the site")
    content = manifest.load(records)
    runs.check_split(run, content, records, split)
    predictions, _, _ = predict_split(run, records, split, batch_size)
    auc = discrimination.measure(predictions).over_thresholds.auc
    if fault := verdict.ranking_fault(auc):
        raise UserError(
            f"this site cannot be served: no threshold helps a model that does not rank its images. {fault}"
        )
    chosen = _draw(predictions, images, seed)
    before = _uncalibrated(run, predictions)
    drawn, rest = before.take(chosen), before.take(~chosen)
    try:
        fitted, point, intervals = _fit(drawn, rule, f"{int(chosen.sum())} images of {records}")
    except ValueError as error:
        raise UserError(f"the model cannot be fitted to {records!r}: {error}") from None
    after = dataclasses.replace(
        rest, probabilities=fitted.apply(rest.probabilities).astype(np.float32), threshold=point.threshold
    )
    result = Refit(
        records=records,
        split=split,
        seed=seed,
        fitted_images=counts.measure(drawn).images,
        tested_images=counts.measure(rest).images,
        auc=auc,
        **intervals,
        before=_test(predictions.take(~chosen)),
        after=_test(after),
        fitted_on=[
            source for source, fitted_on in zip(predictions.sources, chosen, strict=True) if fitted_on
        ],
    )
    _write(run, new_run, fitted, point, result)
    return result


def _draw(predictions: Predictions, images: int, seed: int) -> NDArray[np.bool_]:
    """Draws whole patients until there are enough images; says of each image whether it was drawn."""
    patients = np.array(predictions.patients)
    shuffled = np.random.default_rng(seed).permutation(np.unique(patients))
    sizes = np.array([(patients == patient).sum() for patient in shuffled])
    needed = int(np.searchsorted(np.cumsum(sizes), images)) + 1
    chosen = np.isin(patients, shuffled[:needed])
    for part, use in ((chosen, "fit on"), (~chosen, "test on")):
        if len(np.unique(predictions.labels[part])) != len(CLASS_NAMES):
            raise UserError(
                f"images of both classes are needed to {use}, and {images} of {len(patients)} images leave "
                f"{int(part.sum())} for it: label more images, or choose another --images"
            )
    return chosen


def _uncalibrated(run: Run, predictions: Predictions) -> Predictions:
    if run.calibration is None:
        return predictions
    return dataclasses.replace(
        predictions, probabilities=run.calibration.undo(predictions.probabilities).astype(np.float32)
    )


def _fit(
    predictions: Predictions, rule: Rule, fitted_on: str
) -> tuple[Calibration, OperatingPoint, dict[str, Interval]]:
    """Calibration and operating point, and the intervals of slope, intercept and threshold."""
    labels, patients = predictions.labels.astype(np.float64), predictions.patients
    logits = calibration.logit(predictions.probabilities)
    fitted = calibration.fit(labels, predictions.probabilities, fitted_on)
    point = operating_point.choose(labels, fitted.apply(predictions.probabilities), rule, fitted_on)

    @functools.lru_cache(maxsize=1)  # all three figures need it, of the same resample
    def of_resample(times: bytes) -> tuple[float, float]:
        return calibration.slope_and_intercept(labels, logits, np.frombuffer(times))

    def slope_and_intercept(times: NDArray[np.float64]) -> tuple[float, float]:
        return of_resample(times.tobytes())

    def threshold(times: NDArray[np.float64]) -> float:
        slope, intercept = slope_and_intercept(times)
        resampled = dataclasses.replace(fitted, slope=slope, intercept=intercept)
        rows = np.repeat(np.arange(len(labels)), times.astype(int))
        calibrated = resampled.apply(predictions.probabilities[rows])
        return operating_point.choose(labels[rows], calibrated, rule).threshold

    intervals = bootstrap_by_patient(
        {
            "slope": _or_undefined(lambda times: slope_and_intercept(times)[0]),
            "intercept": _or_undefined(lambda times: slope_and_intercept(times)[1]),
            "threshold": _or_undefined(threshold),
        },
        patients,
    )
    return fitted, point, intervals


def _or_undefined(
    statistic: Callable[[NDArray[np.float64]], float],
) -> Callable[[NDArray[np.float64]], float]:
    """A statistic that is NaN for resamples that cannot be fitted, as those that lack a class."""

    def measured(times: NDArray[np.float64]) -> float:
        try:
            return statistic(times)
        except ValueError:
            return math.nan

    return measured


def _test(predictions: Predictions) -> Tested:
    rates = thresholds.at_threshold(predictions, predictions.threshold)
    figures = measured_calibration.measure(predictions)
    return Tested(
        rates.sensitivity,
        rates.specificity,
        discrimination.measure(predictions).over_thresholds.brier,
        figures.slope,
        figures.intercept,
    )


def _write(run: Run, new_run: str, fitted: Calibration, point: OperatingPoint, result: Refit) -> None:
    """Writes the run folder, its operating point last: with it the run is finished."""
    for name in _COPIED:
        storage.write(storage.join(new_run, name), storage.read(storage.join(run.folder, name)))
    if run.reference is not None:
        run.reference.save(new_run)
    save_calibrated(new_run, without_calibration(run.model), fitted)
    storage.write(storage.join(new_run, runs.SITE), storage.to_json(dataclasses.asdict(result)))
    storage.write(storage.join(new_run, operating_point.FILE_NAME), point.to_json())
