"""Searches for the best architecture, then trains it from the beginning into a run folder.

The trials and the leaderboard are in `RUN/search/`. A search that was stopped continues after the last trial,
and one that is given more trials than before continues with these.
"""

import contextlib
import dataclasses
import json
import logging
import sys
from typing import Any

import keras_tuner

from pipeline import runs
from pipeline.dataset import data_order, steps_per_epoch
from pipeline.input.reader import DataOrder
from pipeline.training import extension
from pipeline.training.folds import train
from pipeline.training.recipe import (
    check_trainable,
    class_weights,
    resolve_attention,
    resolve_precision,
    training_data,
    validation_data,
)
from pipeline.training.settings import Precision, TrainConfig
from tfrecords_builder import continuing, manifest, storage
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Manifest
from tuning import leaderboard
from tuning.leaderboard import Row
from tuning.settings import MAY_DIFFER, SearchConfig
from tuning.space import SearchSpace
from tuning.tuners import count_trials, make_tuner

LEADERBOARD = "leaderboard.csv"

RESOLVED_PRECISION = "resolved_precision"
"""Key in `settings.json` of the precision of all trials. `precision` is what the user asked for."""
DATA_ORDER = "data_order"
"""Key in `settings.json` of how all trials shuffle, as of `pipeline.dataset.data_order`."""

logger = logging.getLogger(__name__)


def search(config: SearchConfig) -> list[Row]:
    """Runs the trials, writes the leaderboard, and trains with the best settings into the run folder.

    Returns:
        The leaderboard: one row for each completed trial, the best first.

    Raises:
        UserError: if the records cannot be trained with, if the run folder was begun with other settings or
            records or holds files that no search writes, or if no trial succeeded.
    """
    runs.refuse_foreign_folder(config.run, overwrite=config.overwrite)
    content = manifest.load(config.records)
    config = resolve_attention(config, content)
    check_trainable(config, content)
    before = _settings_before(config, content)
    precision = before.get(RESOLVED_PRECISION) or resolve_precision(config, content.preprocessing.image_size)
    order = before.get(DATA_ORDER) or data_order(config.records, "train", config.batch_size, config.cache)
    _write_settings(config, content, {RESOLVED_PRECISION: precision, DATA_ORDER: order})
    space = _search_space(config, content, precision)
    with contextlib.redirect_stdout(sys.stderr):  # KerasTuner prints its progress; stdout is for results
        tuner = make_tuner(config, space, storage.join(config.run, runs.SEARCH))
        _run_trials(tuner, config, content, order)
    rows = leaderboard.rows(tuner)
    if not rows:
        raise UserError(
            "no trial of the search succeeded: see the errors above, or try a smaller --batch-size"
        )
    storage.write(storage.join(config.run, runs.SEARCH, LEADERBOARD), storage.to_csv(rows))
    best = space.training_config(tuner.oracle.get_trial(rows[0]["trial"]).hyperparameters)
    _set_aside_training_of_another(best)
    # With `overwrite`, the old run was deleted before the trials; now it would delete them.
    train(dataclasses.replace(best, overwrite=False), precision)
    return rows


def _settings_before(config: SearchConfig, content: Manifest) -> dict[str, Any]:
    """The settings that the search in this run folder was begun with; empty if it begins now.

    Raises:
        UserError: if it was begun with other settings or records, if it has more epochs or trials than are
            asked for now, or if the folder holds a training without a search.
    """
    path = storage.join(config.run, runs.SEARCH, runs.SEARCH_SETTINGS)
    if config.overwrite:
        return {}
    if storage.exists(path):
        before = continuing.read_json(path)
        settings = config.deciding_the_result().items()
        compared = {name: value for name, value in settings if name not in MAY_DIFFER}
        remedy = continuing.CONTINUE_OR_START_ANEW
        continuing.refuse_other_settings(f"{config.run!r} was begun", before, compared, remedy)
        runs.refuse_other_records(config.run, content, config.records, before["records"])
        extension.refuse_fewer_epochs(config.run, config.epochs)
        _refuse_fewer_trials(config)
        return before
    if storage.exists(storage.join(config.run, runs.CONFIG)):
        raise UserError(
            f"{config.run!r} holds a training without a search: choose another folder, or use --overwrite"
        )
    return {}


def _write_settings(config: SearchConfig, content: Manifest, resolved: dict[str, str]) -> None:
    """Writes the settings and `dataset.json` of the search; with `overwrite`, deletes the old run first.

    Args:
        config: the settings of the search. They are written anew when it continues, as some may have changed.
        content: the `dataset.json` of the records.
        resolved: what is decided when a search begins, and kept when it continues.
    """
    if config.overwrite:
        runs.delete(config.run)
    storage.write(storage.join(config.run, manifest.FILE_NAME), content.to_json())
    settings = config.deciding_the_result() | resolved
    path = storage.join(config.run, runs.SEARCH, runs.SEARCH_SETTINGS)
    storage.write(path, json.dumps(settings, indent=2) + "\n")


def _refuse_fewer_trials(config: SearchConfig) -> None:
    begun = count_trials(storage.join(config.run, runs.SEARCH), config.tuner)
    if config.max_trials < begun:
        raise UserError(
            f"{config.run!r} has {begun} trials already, more than --max-trials {config.max_trials}: give at "
            f"least {begun}, choose another folder, or use --overwrite"
        )


def _set_aside_training_of_another(best: TrainConfig) -> None:
    """Makes room for the training of the best architecture if another one was the best before."""
    before = runs.stored_config(best.run)
    now = json.loads(json.dumps(best.deciding_the_result()))  # through JSON, as tuples come back as lists
    if before and any(before[name] != now[name] for name in ("model", "learning_rate")):
        folder = runs.set_training_aside(best.run)
        logger.info("another architecture is better now; the one trained before is in %s", folder)


def _search_space(config: SearchConfig, content: Manifest, precision: Precision) -> SearchSpace:
    return SearchSpace(
        config.training(),
        precision,
        content.preprocessing.image_size,
        steps_per_epoch=steps_per_epoch(content, "train", config.batch_size),
        trial_epochs=config.trial_epochs,
    )


def _run_trials(tuner: keras_tuner.Tuner, config: SearchConfig, content: Manifest, order: DataOrder) -> None:
    """Trains one trial after the other, until there are `max_trials` or the tuner has no more."""
    tuner.search(
        training_data(config, order=order),
        steps_per_epoch=steps_per_epoch(content, "train", config.batch_size),
        epochs=config.trial_epochs,
        validation_data=validation_data(config, content),
        class_weight=class_weights(config, content),
        shuffle=False,  # the dataset is shuffled already
        verbose=0,
    )
