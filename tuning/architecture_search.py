"""Searches for the best architecture, then trains it from the beginning into a run folder.

The trials and the leaderboard are in `RUN/search/`. A search that was stopped continues after the last trial.
"""

import contextlib
import dataclasses
import json
import sys
from typing import Any

import keras_tuner

from pipeline import runs
from pipeline.dataset import steps_per_epoch
from pipeline.training.fit import train
from pipeline.training.recipe import (
    MONITOR,
    check_trainable,
    class_weights,
    resolve_precision,
    training_data,
    validation_data,
)
from pipeline.training.settings import Precision
from tfrecords_builder import continuing, manifest, storage
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Manifest
from tuning import leaderboard
from tuning.leaderboard import Row
from tuning.settings import SearchConfig
from tuning.space import SearchSpace

FOLDER = "search"
SETTINGS = "settings.json"
LEADERBOARD = "leaderboard.csv"

RESOLVED_PRECISION = "resolved_precision"
"""Key in `settings.json` of the precision of all trials. `precision` is what the user asked for."""


def search(config: SearchConfig) -> list[Row]:
    """Runs the trials, writes the leaderboard, and trains with the best settings into the run folder.

    Returns:
        The leaderboard: one row for each completed trial, the best first.

    Raises:
        UserError: if the records cannot be trained with, if the run folder was begun with other settings, or
            if no trial succeeded.
    """
    content = manifest.load(config.records)
    check_trainable(config, content)
    before = _settings_before(config)
    precision = before.get(RESOLVED_PRECISION) or resolve_precision(config, content.preprocessing.image_size)
    _begin(config, precision)
    space = _search_space(config, content, precision)
    with contextlib.redirect_stdout(sys.stderr):  # KerasTuner prints its progress; stdout is for results
        tuner = _tuner(config, space)
        _run_trials(tuner, config, content)
    rows = leaderboard.rows(tuner)
    if not rows:
        raise UserError(
            "no trial of the search succeeded: see the errors above, or try a smaller --batch-size"
        )
    storage.write(storage.join(config.run, FOLDER, LEADERBOARD), storage.to_csv(rows))
    best = space.training_config(tuner.oracle.get_trial(rows[0]["trial"]).hyperparameters)
    train(dataclasses.replace(best, overwrite=False), precision)
    return rows


def _settings_before(config: SearchConfig) -> dict[str, Any]:
    """The settings that the search in this run folder was begun with; empty if it begins now.

    Raises:
        UserError: if it was begun with other settings, or if the folder holds a training without a search.
    """
    path = storage.join(config.run, FOLDER, SETTINGS)
    if config.overwrite:
        return {}
    if storage.exists(path):
        before: dict[str, Any] = json.loads(storage.read(path))
        now, remedy = config.deciding_the_result(), continuing.CONTINUE_OR_START_ANEW
        continuing.refuse_other_settings(f"{config.run!r} was begun", before, now, remedy)
        return before
    if storage.exists(storage.join(config.run, runs.CONFIG)):
        raise UserError(
            f"{config.run!r} holds a training without a search: choose another folder, or use --overwrite"
        )
    return {}


def _begin(config: SearchConfig, precision: Precision) -> None:
    """Writes the settings of the search; with `overwrite`, deletes the old run first."""
    if config.overwrite:
        runs.delete(config.run)
    settings = config.deciding_the_result() | {RESOLVED_PRECISION: precision}
    storage.write(storage.join(config.run, FOLDER, SETTINGS), json.dumps(settings, indent=2) + "\n")


def _search_space(config: SearchConfig, content: Manifest, precision: Precision) -> SearchSpace:
    return SearchSpace(
        config.training(),
        precision,
        content.preprocessing.image_size,
        steps_per_epoch=steps_per_epoch(content, "train", config.batch_size),
        trial_epochs=config.trial_epochs,
    )


def _tuner(config: SearchConfig, space: SearchSpace) -> keras_tuner.Tuner:
    """Makes the tuner, which knows the trials that it completed before.

    `hyperband` is the algorithm of Li et al., arXiv:1603.06560.
    """
    common = {
        "objective": keras_tuner.Objective(MONITOR, direction="min"),
        "seed": config.seed,
        "directory": storage.join(config.run, FOLDER),
        "project_name": config.tuner,
        "overwrite": False,
        "max_consecutive_failed_trials": 5,
    }
    if config.tuner == "hyperband":
        tuner = keras_tuner.Hyperband(space, max_epochs=config.trial_epochs, factor=3, **common)
        tuner.oracle.max_trials = config.max_trials  # KerasTuner's Hyperband has no such argument
        return tuner
    kind = {"bayesian": keras_tuner.BayesianOptimization, "random": keras_tuner.RandomSearch}[config.tuner]
    return kind(space, max_trials=config.max_trials, **common)


def _run_trials(tuner: keras_tuner.Tuner, config: SearchConfig, content: Manifest) -> None:
    """Trains one trial after the other, until there are `max_trials` or the tuner has no more."""
    tuner.search(
        training_data(config),
        steps_per_epoch=steps_per_epoch(content, "train", config.batch_size),
        epochs=config.trial_epochs,
        validation_data=validation_data(config, content),
        class_weight=class_weights(config, content),
        shuffle=False,  # the dataset is shuffled already
        verbose=0,
    )
