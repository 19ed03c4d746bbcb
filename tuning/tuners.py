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
import numpy as np
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial, TrialStatus

from tfrecords_builder import continuing, storage
from tfrecords_builder.errors import UserError, describe_file_error, first_line
from tuning import parallel
from tuning.hyperband import HALVING_FACTOR
from tuning.limits import OutOfTimeError, RefusedTrialError
from tuning.settings import SearchConfig
from tuning.trial import TrialResult

MAX_CONSECUTIVE_FAILED_TRIALS = 5
SEED_INSTEAD_OF_ZERO = 1 << 20
"""KerasTuner takes the seed 0 for none."""
OBJECTIVE = "score"
REFUSED = "refused: "
"""Begins the message of a trial that was refused because it exceeds a limit."""
MOST_REFUSED_TRIALS = 200
RANDOM_TRIALS = 8
"""So many trials are chosen at random before `bayesian` chooses from their results."""
_TRIAL_FILE = "trial.json"
_TRIAL = "trial_"  # begins the names of the files' folders

logger = logging.getLogger(__name__)


class _KeptTrials(keras_tuner.Oracle):
    """Finds the trials of a stopped search by their names, and replaces each of its files as a whole."""

    report: Callable[[Trial], None]
    """Called after each trial."""

    def reload(self) -> None:
        """Reads the trials and the state of the search.

        Raises:
            UserError: if one of the files is damaged.
        """
        folder = self._project_dir
        for name, _ in sorted(storage.entries(folder)):
            path = storage.join(folder, name, _TRIAL_FILE)
            if name.startswith(_TRIAL) and storage.exists(path):
                self._restore(path, self._add_trial)
        self._restore(self._get_oracle_fname(), self.set_state)
        # A trial that the state does not know was stored just before a kill. It is chosen again.
        for unknown in self.trials.keys() - set(self.start_order):
            del self.trials[unknown]
        # The trial that was running when the search was stopped runs again.
        self._retry_queue += [trial.trial_id for trial in self.ongoing_trials.values()]
        self.ongoing_trials: dict[str, Trial] = {}
        self.max_trials += min(MOST_REFUSED_TRIALS, sum(map(is_refused, self.trials.values())))

    def save(self) -> None:
        """Writes the state of the search."""
        storage.write(self._get_oracle_fname(), json.dumps(self.get_state()))

    def _random_values(self) -> dict[str, Any] | None:
        """Random values of all parameters; those of the first trial are the defaults."""
        if not self.trials:
            return {parameter.name: parameter.default for parameter in self.hyperparameters.space}
        values: dict[str, Any] | None = super()._random_values()
        return values

    def end_trial(self, trial: Trial) -> None:
        """Ends a trial. One that was refused does not count; a search is not refused for ever, though."""
        super().end_trial(trial)
        if is_refused(trial) and sum(map(is_refused, self.trials.values())) <= MOST_REFUSED_TRIALS:
            self.max_trials += 1
        self.save()  # KerasTuner saves while the trial still counts as under way
        self.report(trial)

    def _check_consecutive_failures(self) -> None:
        ended = [self.trials[trial] for trial in self.end_order]
        counted = [trial for trial in ended if not is_refused(trial)]
        last = counted[-MAX_CONSECUTIVE_FAILED_TRIALS:]
        if len(last) == MAX_CONSECUTIVE_FAILED_TRIALS and all(
            trial.status == TrialStatus.FAILED for trial in last
        ):
            raise UserError(
                f"the search ends after {MAX_CONSECUTIVE_FAILED_TRIALS} failed trials in a row: see the "
                "lines above for the reasons"
            )

    def _save_trial(self, trial: Trial) -> None:
        path = storage.join(self._project_dir, f"{_TRIAL}{trial.trial_id}", _TRIAL_FILE)
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
    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """See the base class. What it chooses depends on the trials so far alone, and not on a stop."""
        self._random_state = np.random.RandomState(self.seed + len(self.trials))
        self.gpr = self._make_gpr()
        chosen: dict[str, Any] = super().populate_space(trial_id)
        return chosen


class _Hyperband(_KeptTrials, keras_tuner.oracles.HyperbandOracle):
    """Li et al., arXiv:1603.06560. It starts over until there are `max_trials`."""

    def reload(self) -> None:
        """See the base class."""
        super().reload()
        self.hyperband_iterations = sys.maxsize  # in searches of earlier versions, it is 1

    def end_trial(self, trial: Trial) -> None:
        """See the base class. A trial that was refused makes room in its bracket for another one."""
        super().end_trial(trial)
        if is_refused(trial):
            for bracket in self._brackets:
                first = bracket["rounds"][0]
                first[:] = [info for info in first if info["id"] != trial.trial_id]


class _Tuner(BaseTuner):
    """Runs one trial after the other. Only what is wrong with a trial itself makes it a failed one.

    Args:
        oracle: chooses the trials.
        run_trial: trains and scores a trial.
        directory: folder of the search; a path or a URL.
        project_name: name of the folder below, with KerasTuner's files.
    """

    def __init__(
        self,
        oracle: _KeptTrials,
        run_trial: Callable[[Trial], TrialResult],
        *,
        directory: str,
        project_name: str,
    ) -> None:
        self._run = run_trial
        self._num_run = 0
        super().__init__(oracle, directory=directory, project_name=project_name)

    def run_trial(self, trial: Trial) -> dict[str, float]:
        """Trains and scores a trial."""
        return {OBJECTIVE: self._run(trial).score}

    def pre_create_trial(self) -> None:
        """Ends a local worker that has run enough trials; another one goes on."""
        if parallel.has_run_enough(self._num_run):
            raise parallel.RecycleError
        self._num_run += 1

    def _get_tuner_fname(self) -> str:
        return storage.join(self.project_dir, "tuner0.json")  # whichever process writes it

    def save(self) -> None:
        """Writes the state of the search. The file of the tuner tells KerasTuner that there is one."""
        self.oracle.save()
        storage.write(self._get_tuner_fname(), json.dumps(self.get_state()))

    def reload(self) -> None:
        """Reads the state of the search."""
        self.oracle.reload()

    def on_trial_end(self, trial: Trial) -> None:
        """Tells the oracle that a trial has ended; it saves the state of the search."""
        self.oracle.end_trial(trial)

    def _try_run_and_update_trial(self, trial: Trial) -> None:
        try:
            self._run_and_update_trial(trial)
            trial.status = TrialStatus.COMPLETED
        except Exception as error:
            if isinstance(error, UserError | OutOfTimeError) or describe_file_error(error) is not None:
                raise
            trial.status = TrialStatus.FAILED
            if isinstance(error, RefusedTrialError):
                logger.info("trial %s was refused: %s", trial.trial_id, error)
                trial.message = f"{REFUSED}{error}"
                return
            logger.warning("trial %s failed: %s: %s", trial.trial_id, type(error).__name__, first_line(error))
            expected = isinstance(error, keras_tuner.errors.FailedTrialError)
            trial.message = str(error) if expected else traceback.format_exc()


def is_refused(trial: Trial) -> bool:
    """Whether a trial was refused because it exceeds a limit."""
    return (trial.message or "").startswith(REFUSED)


def make_tuner(
    config: SearchConfig,
    choices: keras_tuner.HyperParameters,
    run_trial: Callable[[Trial], TrialResult],
    report: Callable[[Trial], None],
    folder: str,
) -> BaseTuner:
    """Makes the tuner of a search, which knows the trials that it has completed before.

    Args:
        config: the settings of the search.
        choices: what is searched.
        run_trial: trains and scores a trial.
        report: called after each trial in the process that chooses them.
        folder: folder of the search; a path or a URL.

    Raises:
        UserError: if a file of the search is damaged.
    """
    common = {
        "objective": keras_tuner.Objective(OBJECTIVE, direction="max"),
        "hyperparameters": choices,
        "seed": config.seed or SEED_INSTEAD_OF_ZERO,
        "max_consecutive_failed_trials": MAX_CONSECUTIVE_FAILED_TRIALS,
    }
    if config.tuner == "hyperband":
        oracle = _Hyperband(
            max_epochs=config.trial_epochs,
            factor=HALVING_FACTOR,
            hyperband_iterations=sys.maxsize,
            **common,
        )
        oracle.max_trials = config.max_trials  # KerasTuner's Hyperband has no such argument
    else:
        oracle = (
            _Bayesian(max_trials=config.max_trials, num_initial_points=RANDOM_TRIALS, **common)
            if config.tuner == "bayesian"
            else _Random(max_trials=config.max_trials, **common)
        )
    oracle.verbose = 0
    oracle.report = report
    return _Tuner(oracle, run_trial, directory=folder, project_name=config.tuner)


def count_trials(folder: str, tuner: str) -> int:
    """The number of trials that were begun in the folder of a search, without those that were refused.

    Raises:
        UserError: if a file of the search is damaged.
    """
    folder = storage.join(folder, tuner)
    names = [name for name, _ in storage.entries(folder) if name.startswith(_TRIAL)]
    paths = [storage.join(folder, name, _TRIAL_FILE) for name in names]
    states = [continuing.read_json(path) for path in paths if storage.exists(path)]
    return sum(not str(state.get("message") or "").startswith(REFUSED) for state in states)
