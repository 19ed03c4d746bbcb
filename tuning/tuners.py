"""KerasTuner's tuners as a search uses them: they survive a kill at any moment, in a folder of any name.

KerasTuner finds the trials of a stopped search by a pattern that contains the folder's name, writes its state
in place, and takes errors of the disk or of the records for failures of a trial. The classes here do not.
"""

import json
import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from pipeline.training.recipe import MONITOR
from tfrecords_builder import continuing, storage
from tfrecords_builder.errors import UserError, describe_file_error, first_line
from tuning.settings import SearchConfig
from tuning.space import SearchSpace

MAX_CONSECUTIVE_FAILED_TRIALS = 5
HALVING_FACTOR = 3
"""Hyperband gives this many times as many epochs to the best of its trials, a third of them."""
SEED_INSTEAD_OF_ZERO = 1 << 20
"""KerasTuner takes the seed 0 for none."""
_TRIAL = "trial_"  # begins the names of the trials' folders

logger = logging.getLogger(__name__)


class _KeptTrials(keras_tuner.Oracle):
    """Finds the trials of a stopped search by their names, and replaces each of its files as a whole."""

    def reload(self) -> None:
        """Reads the trials and the state of the search.

        Raises:
            UserError: if one of the files is damaged.
        """
        folder = self._project_dir
        for name, _ in sorted(storage.entries(folder)):
            path = storage.join(folder, name, "trial.json")
            if name.startswith(_TRIAL) and storage.exists(path):
                self._restore(path, self._add_trial)
        self._restore(self._get_oracle_fname(), self.set_state)
        # The trial that was running when the search was stopped runs again.
        self._retry_queue += [trial.trial_id for trial in self.ongoing_trials.values()]
        self.ongoing_trials: dict[str, Trial] = {}

    def save(self) -> None:
        """Writes the state of the search."""
        storage.write(self._get_oracle_fname(), json.dumps(self.get_state()))

    def _check_consecutive_failures(self) -> None:
        try:
            super()._check_consecutive_failures()
        except RuntimeError:
            raise UserError(
                f"the search ends after {MAX_CONSECUTIVE_FAILED_TRIALS} failed trials in a row: see the "
                "lines above for the reasons"
            ) from None

    def _save_trial(self, trial: Trial) -> None:
        path = storage.join(self._project_dir, f"{_TRIAL}{trial.trial_id}", "trial.json")
        storage.write(path, json.dumps(trial.get_state()))

    def _add_trial(self, state: dict[str, Any]) -> None:
        trial = Trial.from_state(state)
        self.trials[trial.trial_id] = trial

    @staticmethod
    def _restore(path: str, restore: Callable[[dict[str, Any]], None]) -> None:
        state = continuing.read_json(path)
        try:
            restore(state)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{path!r} is damaged ({error!r}): restore it, or start the search anew with --overwrite"
            ) from None


class _Random(_KeptTrials, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Bayesian(_KeptTrials, keras_tuner.oracles.BayesianOptimizationOracle):
    pass


class _Hyperband(_KeptTrials, keras_tuner.oracles.HyperbandOracle):
    """Li et al., arXiv:1603.06560. It starts over until there are `max_trials`."""

    def reload(self) -> None:
        """See the base class."""
        super().reload()
        self.hyperband_iterations = sys.maxsize  # in searches of earlier versions, it is 1


class _Tuner(keras_tuner.Tuner):
    """Runs one trial after the other. Only what is wrong with a trial itself makes it a failed one."""

    def save(self) -> None:
        """Writes the state of the search. The file of the tuner tells KerasTuner that there is one."""
        self.oracle.save()
        storage.write(self._get_tuner_fname(), json.dumps(self.get_state()))

    def reload(self) -> None:
        """Reads the state of the search."""
        self.oracle.reload()

    def _try_run_and_update_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> None:
        try:
            self._run_and_update_trial(trial, *args, **kwargs)
            trial.status = TrialStatus.COMPLETED
        except Exception as error:
            if isinstance(error, UserError) or describe_file_error(error) is not None:
                raise
            logger.warning("trial %s failed: %s: %s", trial.trial_id, type(error).__name__, first_line(error))
            trial.status = TrialStatus.FAILED
            trial.message = traceback.format_exc()


class _HyperbandTuner(_Tuner, keras_tuner.Hyperband):
    """Lets a trial go on from the weights of the one that it continues."""

    def __init__(self, oracle: _Hyperband, **kwargs: Any) -> None:
        keras_tuner.Tuner.__init__(self, oracle=oracle, **kwargs)  # Hyperband's own makes another oracle


def make_tuner(config: SearchConfig, space: SearchSpace, folder: str) -> keras_tuner.Tuner:
    """Makes the tuner of a search, which knows the trials that it has completed before.

    Args:
        config: the settings of the search.
        space: what is searched.
        folder: folder of the search; a path or a URL.

    Raises:
        UserError: if a file of the search is damaged.
    """
    common = {
        "objective": keras_tuner.Objective(MONITOR, direction="min"),
        "seed": config.seed or SEED_INSTEAD_OF_ZERO,
        "max_consecutive_failed_trials": MAX_CONSECUTIVE_FAILED_TRIALS,
    }
    files = {"hypermodel": space, "directory": folder, "project_name": config.tuner}
    if config.tuner == "hyperband":
        oracle = _Hyperband(
            max_epochs=config.trial_epochs,
            factor=HALVING_FACTOR,
            hyperband_iterations=sys.maxsize,
            **common,
        )
        oracle.max_trials = config.max_trials  # KerasTuner's Hyperband has no such argument
        return _HyperbandTuner(oracle, **files)
    kind = {"bayesian": _Bayesian, "random": _Random}[config.tuner]
    return _Tuner(oracle=kind(max_trials=config.max_trials, **common), **files)


def count_trials(folder: str, tuner: str) -> int:
    """The number of trials that were begun in the folder of a search."""
    return sum(name.startswith(_TRIAL) for name, _ in storage.entries(storage.join(folder, tuner)))
