"""The leaderboard of a search: one row for each network, the best first, and the trials that failed."""

import sys
from collections.abc import Mapping
from typing import Any

from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial, TrialStatus
from rich.console import Console
from rich.table import Table

from tfrecords_builder import storage
from tfrecords_builder.errors import UserError
from tuning.space import TUNER_PREFIX
from tuning.trial import RESULT, TrialResult, load_result

Row = dict[str, Any]

CONTINUED = "tuner/trial_id"
"""KerasTuner's entry in the values of a trial that names the one that it continues."""
RESULTS_SHOWN = (
    "score",
    "auc",
    "sensitivity",
    "specificity",
    "val_loss",
    "epochs",
    "seconds",
    "params",
    "latency_ms",
)
_UNLIMITED_WIDTH = 10_000  # characters; outside a terminal no column is cut


def completed(tuner: BaseTuner, folder_of_trial: Any) -> list[tuple[Trial, TrialResult]]:
    """The completed trials and their results, the best first. Of equal ones, the earlier one is better.

    Args:
        tuner: the tuner of the search.
        folder_of_trial: returns the run folder of a trial by its identifier.
    """
    trials = [trial for trial in tuner.oracle.trials.values() if trial.status == TrialStatus.COMPLETED]
    with_results = [
        (trial, load_result(folder_of_trial(trial.trial_id)))
        for trial in trials
        if storage.exists(storage.join(folder_of_trial(trial.trial_id), RESULT))
    ]
    if len(with_results) < len(trials):
        missing = sorted({trial.trial_id for trial in trials} - {trial.trial_id for trial, _ in with_results})
        raise UserError(
            f"{folder_of_trial(missing[0])!r} has no {RESULT}: restore it, or start the search anew with "
            "--overwrite"
        )
    return sorted(with_results, key=lambda pair: (-pair[1].score, pair[0].trial_id))


def rows(trials: list[tuple[Trial, TrialResult]]) -> list[Row]:
    """One row for each network: a trial that another one continues is joined with it.

    Args:
        trials: what `completed` returned.

    Returns:
        For each network its rank (counted from 1), its identifier, its results, and the settings that were
        tried.
    """
    continued = {trial.hyperparameters.values.get(CONTINUED) for trial, _ in trials}
    last = [(trial, result) for trial, result in trials if trial.trial_id not in continued]
    return [
        {
            "rank": rank,
            "trial": trial.trial_id,
            **{name: getattr(result, name) for name in RESULTS_SHOWN},
            **settings(trial),
        }
        for rank, (trial, result) in enumerate(last, start=1)
    ]


def failures(tuner: BaseTuner) -> list[Row]:
    """The trials that failed or were refused, with the reason and the settings."""
    return [
        {
            "trial": trial.trial_id,
            "reason": (trial.message or "unknown").strip().splitlines()[-1],
            **settings(trial),
        }
        for trial in tuner.oracle.trials.values()
        if trial.status == TrialStatus.FAILED
    ]


def settings(trial: Trial) -> Row:
    """The settings of a trial, without the tuner's own bookkeeping."""
    values = trial.hyperparameters.values
    return {name: value for name, value in values.items() if not name.startswith(TUNER_PREFIX)}


def print_table(leaderboard: list[Row], *, file: Any = None, most: int | None = None) -> None:
    """Prints the leaderboard.

    Args:
        leaderboard: what `rows` returned.
        file: where to; by default stdout.
        most: how many rows at most; by default all.
    """
    table = Table(title="Leaderboard, best first")
    shown = leaderboard[:most]
    # What is the same for all says nothing, and a terminal has little space.
    names = [name for name in shown[0] if len(shown) == 1 or len({str(row[name]) for row in shown}) > 1]
    for name in names:
        table.add_column(name.removeprefix("model."), justify="right")
    for row in shown:
        table.add_row(*(_text(row[name]) for name in names))
    stream = file or sys.stdout
    Console(file=stream, width=None if stream.isatty() else _UNLIMITED_WIDTH).print(table)


def print_settings(title: str, values: Mapping[str, Any], *, file: Any) -> None:
    """Prints the settings of a trial, one a line.

    Args:
        title: stands above them.
        values: what was searched, by name.
        file: where to.
    """
    table = Table("setting", "value", title=title)
    for name, value in values.items():
        table.add_row(name, _text(value))
    Console(file=file).print(table)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def best_so_far(trials: list[tuple[Trial, TrialResult]]) -> str:
    """Describes the best trial in a few words."""
    trial, result = trials[0]
    return f"trial {trial.trial_id} with score {result.score:.4f}"
