"""The trials of a search: where they are, what each is trained with, and how far the search has come."""

import dataclasses
import gc
import logging
import sys
from collections.abc import Mapping
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from pipeline import runs
from pipeline.training.settings import TrainConfig
from tfrecords_builder import storage
from tuning import hparams, hyperband, leaderboard, space, trial
from tuning.leaderboard import CONTINUED, Row
from tuning.settings import SearchConfig
from tuning.trial import Conditions, TrialResult
from tuning.tuners import make_tuner

FOLDER = "trials"
"""Folder below `RUN/search/` with a run folder for each trial."""
_EPOCHS = "tuner/epochs"
_ROWS_SHOWN = 5  # of the leaderboard, while the search runs

logger = logging.getLogger(__name__)


class Trials:
    """The trials of one search.

    Args:
        config: the settings of the search.
        conditions: what is the same for all trials.

    Raises:
        UserError: if a file of the search is damaged.
    """

    def __init__(self, config: SearchConfig, conditions: Conditions) -> None:
        self.config = config
        self.conditions = conditions
        self.base = config.training()
        self.folder = storage.join(config.run, runs.SEARCH)
        choices = keras_tuner.HyperParameters()
        space.register(choices, config.space, self.base, config.fixed)
        self.tuner = make_tuner(config, choices, self._run, self._report, self.folder)

    def run_folder(self, trial_id: str) -> str:
        """The run folder of a trial."""
        return storage.join(self.folder, FOLDER, trial_id)

    def completed(self) -> list[tuple[Trial, TrialResult]]:
        """The completed trials and their results, the best first."""
        return leaderboard.completed(self.tuner, self.run_folder)

    def training_config(self, values: Mapping[str, Any]) -> TrainConfig:
        """The settings of the full training with the values of a trial. It never deletes the search."""
        training = space.training_config(self.base, {**self.config.fixed, **values})
        return dataclasses.replace(training, overwrite=False)

    def describe_plan(self) -> None:
        """Logs how many trials of how many epochs there will be."""
        trials, epochs = self.config.max_trials, self.config.trial_epochs
        if self.config.tuner == "hyperband":
            logger.info("%s", hyperband.in_words(epochs, trials))
        logger.info("%d trials, %d epochs at most", trials, self._planned_epochs())

    def _planned_epochs(self) -> int:
        config = self.config
        if config.tuner == "hyperband":
            return hyperband.total_epochs(config.trial_epochs, config.max_trials)
        return config.max_trials * config.trial_epochs

    def _run(self, of_tuner: Trial) -> TrialResult:
        """Trains and scores a trial; the tuner calls it."""
        values = of_tuner.hyperparameters.values
        config = dataclasses.replace(
            self.training_config(values),
            run=self.run_folder(of_tuner.trial_id),
            epochs=values.get(_EPOCHS, self.config.trial_epochs),
            folds=0,
        )
        logger.info(
            "trial %s, up to epoch %d: %s, learning rate %.2g",
            of_tuner.trial_id,
            config.epochs,
            space.in_words(config.model),
            config.learning_rate,
        )
        if sys.stderr.isatty():
            title = f"Settings of trial {of_tuner.trial_id}"
            leaderboard.print_settings(title, leaderboard.settings(of_tuner), file=sys.stderr)
        continued = values.get(CONTINUED)
        try:
            result = trial.run(
                config,
                self.conditions,
                continued=self.run_folder(continued) if continued else None,
                others=self._others() if self.config.median_stopping else [],
            )
            hparams.write(config.run, leaderboard.settings(of_tuner), result)
            return result
        finally:
            keras.backend.clear_session()
            gc.collect()

    def _others(self) -> list[str]:
        """The run folders of the finished trials; none with Hyperband, which compares them itself."""
        if self.config.tuner == "hyperband":
            return []
        folder = storage.join(self.folder, FOLDER)
        folders = [storage.join(folder, name) for name, is_folder in storage.entries(folder) if is_folder]
        return sorted(path for path in folders if storage.exists(storage.join(path, trial.RESULT)))

    def _report(self, ended: Trial) -> None:
        """Logs how far the search has come; the tuner calls it when a trial has ended."""
        trials = self.completed()
        done = [each for each in self.tuner_trials() if each.status != TrialStatus.RUNNING]
        if ended.status == TrialStatus.COMPLETED:
            result = trial.load_result(self.run_folder(ended.trial_id))
            logger.info(
                "trial %s ended with score %.4f (AUC %.4f), the best so far is %s",
                ended.trial_id,
                result.score,
                result.auc,
                leaderboard.best_so_far(trials),
            )
        logger.info(
            "%d of %d trials, %.0f min%s",
            len(done),
            max(self.oracle.max_trials, len(done)),  # refused trials make room for others
            self._minutes(),
            self._left(trials),
        )
        if sys.stderr.isatty() and trials:
            leaderboard.print_table(leaderboard.rows(trials), file=sys.stderr, most=_ROWS_SHOWN)

    def tuner_trials(self) -> list[Trial]:
        """All trials that were begun."""
        return list(self.oracle.trials.values())

    @property
    def oracle(self) -> Any:
        """What chooses the trials: the one of this process, not the proxy of a worker's tuner."""
        return self.tuner.oracle

    def _minutes(self) -> float:
        return self.conditions.clock.seconds / 60

    def _left(self, trials: list[tuple[Trial, TrialResult]]) -> str:
        """Estimates the time that is left from the time that the epochs took so far."""
        values = [each.hyperparameters.values for each, _ in trials]
        epochs = sum(
            result.epochs - of_trial.get("tuner/initial_epoch", 0)
            for (_, result), of_trial in zip(trials, values, strict=True)
        )
        remaining = self._planned_epochs() - epochs
        if not epochs or remaining <= 0:
            return ""
        minutes = remaining * self._minutes() / epochs
        until_limit = self.conditions.clock.seconds_left
        return f", about {min(minutes, minutes if until_limit is None else until_limit / 60):.0f} min left"


def write_tables(trials: Trials) -> list[Row]:
    """Writes the leaderboard and the list of the failed trials, and returns the leaderboard."""
    rows = leaderboard.rows(trials.completed())
    failed = leaderboard.failures(trials.tuner)
    for name, table in (("leaderboard.csv", rows), ("failed_trials.csv", failed)):
        if table:
            storage.write(storage.join(trials.folder, name), storage.to_csv(table))
    return rows
