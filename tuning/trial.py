"""One trial: a short training in a run folder of its own, and its score.

A trial that was stopped continues from its last epoch, as every training does. A trial that continues another
one, as Hyperband's do, begins with a copy of its run folder and trains more epochs.
"""

import dataclasses
import json
import logging
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner

from pipeline import runs
from pipeline.input.arrays import load_arrays
from pipeline.input.cache import Cache
from pipeline.input.reader import DataOrder
from pipeline.model import predict_probabilities
from pipeline.network.calibrated import without_calibration
from pipeline.training import fit, history
from pipeline.training.recipe import MONITOR
from pipeline.training.settings import Precision, TrainConfig
from tfrecords_builder import continuing, manifest, ownership, storage
from tfrecords_builder.manifest import Manifest
from tuning import limits, objective
from tuning.limits import Clock
from tuning.median_stopping import Curve, MedianStopping, StopTrialError, is_below_median

RESULT = "trial.json"
"""Name of the file with the result of a trial, in its run folder."""
_IMAGES_AT_ONCE = 64
"""Images that a model computes at once when it is scored. On CPUs this is the fastest number."""
MOST_ATTEMPTS = 3
"""A trial whose process ends so often without a further epoch, for want of memory perhaps, is a failure."""
_ATTEMPTS = "-attempts.json"  # behind the name of the run folder, which may not exist yet

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrialResult(objective.Score):
    """The score of a trial and what it cost."""

    val_loss: float
    """The smallest validation loss, of augmented images."""
    epochs: int
    """Number of epochs that were trained, those of an earlier trial included."""
    seconds: float
    """Seconds of training."""
    params: int
    """Number of weights of the network."""
    latency_ms: float
    """Milliseconds of the network for one image, on one core of the CPU."""
    stopped_early: bool
    """Whether the training was stopped because it was worse than the median of the others."""


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What is the same for all trials of a search."""

    precision: Precision
    order: DataOrder
    """How all trainings shuffle."""
    clock: Clock
    """Ends a trial when the time of the search is spent."""
    max_params: int | None = None
    max_latency_ms: float | None = None


class _CheckClock(keras.callbacks.Callback):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        self._clock.check()


def run(
    config: TrainConfig,
    conditions: Conditions,
    *,
    continued: str | None,
    others: Sequence[str],
) -> TrialResult:
    """Trains and scores a trial, or continues with it.

    Args:
        config: the settings of its training; `config.run` is its run folder.
        conditions: what is the same for all trials.
        continued: run folder of the trial that this one continues; None for none.
        others: run folders of finished trials, with whose median this one is compared while it is trained.

    Raises:
        keras_tuner.errors.FailedTrialError: if it exceeds a limit, its loss becomes NaN, or its process ended
            too often.
        OutOfTimeError: if the time of the search is spent.
        UserError: if a file of the trial or of the records is damaged.
    """
    if storage.exists(storage.join(config.run, RESULT)):
        return load_result(config.run)
    content = manifest.load(config.records)
    limits.check_size(config, content.preprocessing.image_size, conditions.max_params)
    if continued is not None:
        _begin_with_copy(continued, config.run)
    _count_attempt(config.run)
    config = dataclasses.replace(config, cache=_cache(config, content))
    stopped_early = _train(config, conditions, [curve_of(folder) for folder in others])
    return score_run(config, max_latency_ms=conditions.max_latency_ms, stopped_early=stopped_early)


def _cache(config: TrainConfig, content: Manifest) -> Cache:
    """Where a trial reads the records from.

    Reading raw local shards anew into the memory of each trial takes a second. Mapped into memory, they are
    in the page cache, which all processes of a machine share, and fast enough.
    """
    is_mapped = content.encoding == "raw" and not storage.is_url(config.records)
    return "none" if config.cache == "auto" and is_mapped else config.cache


def _train(config: TrainConfig, conditions: Conditions, others: Sequence[Curve]) -> bool:
    """Trains a trial. Returns whether it was stopped because the others were better."""
    before = curve_of(config.run)
    if is_below_median(before, others):  # it was stopped, and then its process ended
        return True
    callbacks = [_CheckClock(conditions.clock), MedianStopping(others, before)]
    try:
        fit.train_model(config, conditions.precision, order=conditions.order, callbacks=callbacks)
    except StopTrialError:
        return True
    except history.LostLossError as error:
        raise keras_tuner.errors.FailedTrialError(str(error).partition(",")[0]) from None
    return False


def load_result(run_folder: str) -> TrialResult:
    """Reads the result of a finished trial.

    Raises:
        UserError: if it is damaged.
    """
    return TrialResult(**continuing.read_json(storage.join(run_folder, RESULT)))


def results(search_run: str) -> dict[str, dict[str, Any]]:
    """What the finished trials of a search reached, by their run folders.

    Args:
        search_run: the run folder of the search, a path or a URL.
    """
    trials = storage.join(search_run, runs.SEARCH, "trials")
    folders = [storage.join(trials, name) for name, is_folder in sorted(storage.entries(trials)) if is_folder]
    return {
        folder: dataclasses.asdict(load_result(folder))
        for folder in folders
        if storage.exists(storage.join(folder, RESULT))
    }


def curve_of(run_folder: str) -> Curve:
    """The validation losses of a trial, one for each epoch."""
    return [float(row[MONITOR]) for row in history.read(run_folder)]


def score_run(config: TrainConfig, *, max_latency_ms: float | None, stopped_early: bool) -> TrialResult:
    """Scores the model in a run folder and writes its result there.

    Args:
        config: the settings of the training.
        max_latency_ms: the longest latency in milliseconds; None for no limit.
        stopped_early: whether the training was stopped because the others were better.

    Raises:
        RefusedTrialError: if the model is too slow.
    """
    model = without_calibration(runs.load_model(config.run))
    latency_ms = limits.check_latency(model, max_latency_ms)
    images, labels = load_arrays(config.records, "val")

    def predict(batch: Any) -> Any:
        return predict_probabilities(model, batch, _IMAGES_AT_ONCE)

    unchanged = predict(images)
    scored = objective.score(predict, images, labels, unchanged, config.target_sensitivity)
    epochs = history.read(config.run)
    result = TrialResult(
        **dataclasses.asdict(scored),
        val_loss=min(curve_of(config.run)),
        epochs=len(epochs),
        seconds=sum(float(row["seconds"]) for row in epochs),
        params=model.count_params(),
        latency_ms=latency_ms,
        stopped_early=stopped_early,
    )
    if not runs.is_finished(config.run):  # so that every trial can be evaluated
        fit.choose_operating_point(config, model, labels, unchanged)
    storage.write(storage.join(config.run, RESULT), json.dumps(dataclasses.asdict(result), indent=2) + "\n")
    return result


def _begin_with_copy(source: str, run_folder: str) -> None:
    """Copies the training of another trial, `config.json` last. A copy that is not complete is made anew."""
    if storage.exists(storage.join(run_folder, runs.CONFIG)):
        return
    ownership.copy_owned(source, runs.TRAINING_FILES, run_folder, last=runs.CONFIG)


def _count_attempt(run_folder: str) -> None:
    """Counts how often the trial was begun after its last epoch.

    Raises:
        keras_tuner.errors.FailedTrialError: if that was too often.
    """
    path = f"{run_folder}{_ATTEMPTS}"
    epochs = len(history.read(run_folder))
    before = continuing.read_json(path) if storage.exists(path) else {"epochs": epochs, "attempts": 0}
    attempts = before["attempts"] + 1 if before["epochs"] == epochs else 1
    if attempts > MOST_ATTEMPTS:
        raise keras_tuner.errors.FailedTrialError(
            f"its process ended {MOST_ATTEMPTS} times in the same epoch: perhaps it needs more memory than "
            "there is"
        )
    storage.write(path, json.dumps({"epochs": epochs, "attempts": attempts}) + "\n")
