"""The leaderboard of a search: one row for each completed trial, the best first."""

import sys
from typing import Any

import keras_tuner
from rich.console import Console
from rich.table import Table

from pipeline.training.recipe import MONITOR

Row = dict[str, Any]

AUC = "val_auc"
_UNLIMITED_WIDTH = 10_000  # characters; outside a terminal no column is cut


def rows(tuner: keras_tuner.Tuner) -> list[Row]:
    """The completed trials, best first.

    Returns:
        For each trial its rank (counted from 1), its identifier, its best validation loss and AUC, and the
        settings that were tried.
    """
    trials = [
        trial
        for trial in tuner.oracle.get_best_trials(len(tuner.oracle.trials))
        if trial.score is not None and trial.metrics.exists(AUC)
    ]
    return [
        {
            "rank": rank,
            "trial": trial.trial_id,
            MONITOR: trial.score,
            AUC: trial.metrics.get_best_value(AUC),
            **_tried(trial.hyperparameters),
        }
        for rank, trial in enumerate(trials, start=1)
    ]


def _tried(choice: keras_tuner.HyperParameters) -> Row:
    """The settings of a trial without the tuner's own bookkeeping, of which the epochs are of interest."""
    return {
        name: value
        for name, value in choice.values.items()
        if name == "tuner/epochs" or not name.startswith("tuner/")
    }


def print_table(leaderboard: list[Row]) -> None:
    """Prints the leaderboard to stdout."""
    table = Table(title="Leaderboard, best first")
    for name in leaderboard[0]:
        table.add_column(name.removeprefix("tuner/"), justify="right")
    for row in leaderboard:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else _UNLIMITED_WIDTH).print(table)
