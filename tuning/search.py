"""`python -m tuning.search RECORDS RUN`: searches the architecture, then trains the best into a run folder.

The best settings are trained anew and in full, from `RECORDS`, so that the run folder holds a model of which
everything is known; the trials stay in `RUN/search/`. The same command continues a search that was stopped.
"""

import contextlib
import dataclasses
import json
import logging
import sys
from typing import Any, Literal

import keras_tuner
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from pipeline import runs
from pipeline.dataset import make_dataset, steps_per_epoch
from pipeline.train import (
    MONITOR,
    check_both_classes,
    class_weights,
    classifier_to_train,
    train,
    trainable,
    validation_dataset,
)
from pipeline.training import precision
from pipeline.training.settings import TrainConfig
from tfrecords_builder import manifest, storage
from tfrecords_builder.cli.command import run
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Manifest
from tuning.space import SearchSpace

TRIALS = "search"
SETTINGS = "settings.json"
LEADERBOARD = "leaderboard.csv"
_WIDE = 10_000  # characters: where nobody watches, no column is cut
OBJECTIVE = keras_tuner.Objective(MONITOR, direction="min")

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class SearchConfig(TrainConfig):
    """Searches the architecture of the CNN with KerasTuner and trains the best one found into a run folder.

    The search chooses blocks, filters, convolutions, dense units, dropout and learning rate; what it does not
    choose is set as for `python -m pipeline.train`. The same command continues a search that was stopped.
    """

    tuner: Literal["hyperband", "bayesian", "random"] = "hyperband"
    """Hyperband gives many trials few epochs and the promising ones more (Li et al., arXiv:1603.06560)."""
    max_trials: int = 20
    """Trials, at most."""
    trial_epochs: int = 8
    """Epochs of a trial, at most."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.max_trials, self.trial_epochs) < 1:
            raise ValueError(
                "max_trials and trial_epochs must be at least 1. "
                f"Received: {self.max_trials}, {self.trial_epochs}"
            )

    def training(self) -> TrainConfig:
        """The part that `python -m pipeline.train` knows."""
        names = [field.name for field in dataclasses.fields(TrainConfig)]
        return TrainConfig(**{name: getattr(self, name) for name in names})


def search(config: SearchConfig) -> list[dict[str, Any]]:
    """Searches, writes the leaderboard, and trains the best settings into the run folder.

    Returns:
        The leaderboard, best first: rank, trial, objective, metrics and settings of every completed trial.

    Raises:
        UserError: for records or a run folder that do not fit, or if no trial succeeded.
    """
    content = manifest.load(config.records)
    check_both_classes(content)
    if config.overwrite and storage.exists(config.run):
        tf.io.gfile.rmtree(config.run)
    _begin(config)
    space = _search_space(config, content)
    tuner = _tuner(config, space)
    _run_trials(tuner, config, content)
    board = leaderboard(tuner)
    if not board:
        raise UserError(
            "no trial of the search succeeded: see the errors above, or try a smaller --batch-size"
        )
    storage.write(storage.join(config.run, TRIALS, LEADERBOARD), storage.to_csv(board))
    best = space.chosen(tuner.oracle.get_trial(board[0]["trial"]).hyperparameters)
    train(dataclasses.replace(best, overwrite=False))
    return board


def leaderboard(tuner: keras_tuner.Tuner) -> list[dict[str, Any]]:
    """The completed trials, best first."""
    trials = tuner.oracle.get_best_trials(len(tuner.oracle.trials))
    rows: list[dict[str, Any]] = []
    for trial in trials:
        chosen = {
            name: value
            for name, value in trial.hyperparameters.values.items()
            if name == "tuner/epochs" or not name.startswith("tuner/")
        }
        if trial.score is None or not trial.metrics.exists("val_auc"):
            continue
        auc = trial.metrics.get_best_value("val_auc")
        rows.append(
            {"rank": len(rows) + 1, "trial": trial.trial_id, MONITOR: trial.score, "val_auc": auc} | chosen
        )
    return rows


def _begin(config: SearchConfig) -> None:
    """Notes the settings of the search, or checks them against those it was begun with."""
    own = {name: getattr(config, name) for name in ("tuner", "max_trials", "trial_epochs")}
    now = config.training().deciding_the_result() | own
    path = storage.join(config.run, TRIALS, SETTINGS)
    if storage.exists(path):
        runs.refuse_other_settings(config.run, json.loads(storage.read(path)), now)
    elif storage.exists(storage.join(config.run, runs.CONFIG)):
        raise UserError(f"{config.run!r} is a run of its own: choose another folder, or --overwrite")
    else:
        storage.write(path, json.dumps(now, indent=2) + "\n")


def _search_space(config: SearchConfig, content: Manifest) -> SearchSpace:
    base, side = config.training(), content.preprocessing.image_size
    chosen = precision.resolve(
        config.precision,
        lambda name: trainable(base, classifier_to_train(base, side, name)),
        (config.batch_size, side, side, 1),
    )
    steps = steps_per_epoch(content, "train", config.batch_size)
    return SearchSpace(base, chosen, side, steps, trial_epochs=config.trial_epochs)


def _tuner(config: SearchConfig, space: SearchSpace) -> keras_tuner.Tuner:
    common = {
        "objective": OBJECTIVE,
        "seed": config.seed,
        "directory": storage.join(config.run, TRIALS),
        "project_name": config.tuner,
        "overwrite": False,
        "max_consecutive_failed_trials": 5,
    }
    if config.tuner == "hyperband":
        tuner = keras_tuner.Hyperband(space, max_epochs=config.trial_epochs, factor=3, **common)
        tuner.oracle.max_trials = config.max_trials  # Hyperband itself would end with its last bracket only
        return tuner
    kind = {"bayesian": keras_tuner.BayesianOptimization, "random": keras_tuner.RandomSearch}[config.tuner]
    return kind(space, max_trials=config.max_trials, **common)


def _run_trials(tuner: keras_tuner.Tuner, config: SearchConfig, content: Manifest) -> None:
    training = make_dataset(
        config.records,
        "train",
        batch_size=config.batch_size,
        training=True,
        cache=config.cache,
        seed=config.seed,
        epochs=None,
    )
    with contextlib.redirect_stdout(sys.stderr):  # KerasTuner prints its progress; stdout is for results
        tuner.search(
            training,
            steps_per_epoch=steps_per_epoch(content, "train", config.batch_size),
            epochs=config.trial_epochs,
            validation_data=validation_dataset(config, content),
            class_weight=class_weights(content) if config.class_weights else None,
            shuffle=False,  # the dataset does
            verbose=0,
        )


def _print_table(board: list[dict[str, Any]]) -> None:
    table = Table(title="Leaderboard, best first")
    for name in board[0]:
        table.add_column(name.removeprefix("tuner/"), justify="right")
    for row in board:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


def main(config: SearchConfig) -> None:
    """Searches, prints the leaderboard and where the run is."""
    _print_table(search(config))
    print(config.run)  # noqa: T201


if __name__ == "__main__":
    run(main, SearchConfig, "python -m tuning.search")
