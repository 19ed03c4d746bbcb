"""Searches for the best architecture, then trains it from the beginning into a run folder.

The state of the search is in `RUN/search/`: its settings, KerasTuner's files, a run folder for each trial,
the leaderboard and the report. A search that was stopped continues where it was, and one that is given more
trials or time than before goes on.
"""

import json
import logging
from collections.abc import Sequence
from typing import Any

from pipeline import runs
from pipeline.dataset import data_order
from pipeline.training import extension, folds
from pipeline.training.recipe import check_trainable, resolve_attention, resolve_precision
from pipeline.training.settings import MAY_DIFFER as MAY_DIFFER_IN_TRAINING
from pipeline.training.settings import TrainConfig
from tfrecords_builder import continuing, manifest, storage
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Manifest
from tuning import finalists, parallel
from tuning.leaderboard import Row, best_so_far
from tuning.limits import Clock, OutOfTimeError
from tuning.report import write_report
from tuning.settings import MAY_DIFFER, SearchConfig
from tuning.trial import Conditions
from tuning.trials import Trials, write_tables
from tuning.tuners import count_trials

RESOLVED_PRECISION = "resolved_precision"
"""Key in `settings.json` of the precision of all trials. `precision` is what the user asked for."""
DATA_ORDER = "data_order"
"""Key in `settings.json` of how all trials shuffle, as of `pipeline.dataset.data_order`."""

logger = logging.getLogger(__name__)


def search(config: SearchConfig) -> list[Row]:
    """Runs the trials, writes the leaderboard, and trains with the best settings into the run folder.

    A worker of a parallel search only runs trials.

    Returns:
        The leaderboard: one row for each network, the best first; empty in a worker.

    Raises:
        UserError: if the records cannot be trained with, if the run folder was begun with other settings or
            records or holds files that no search writes, or if no trial succeeded.
    """
    content = manifest.load(config.records)
    config = resolve_attention(config, content)
    check_trainable(config, content)
    if parallel.role() == "worker":
        parallel.end_with_parent()
        parallel.wait_for_chief(storage.join(config.run, runs.SEARCH, runs.SEARCH_SETTINGS))
        _run_trials(Trials(config, _stored_conditions(config)))
        return []
    trials = Trials(config, _begin(config, content))
    trials.describe_plan()
    _run_trials(trials)
    rows = write_tables(trials)
    if not rows:
        raise UserError(
            "no trial of the search succeeded: see the lines above, or try a smaller --batch-size, a larger "
            "--max-time, or weaker limits"
        )
    if len(rows) < config.max_trials:
        logger.info("%d networks were tried in full; --max-trials is %d", len(rows), config.max_trials)
    winner = finalists.choose(config, rows, trials.conditions, trials.training_config)
    write_report(trials, rows)
    others = finalists.others_for_folds(
        config, rows, winner.config, trials.training_config, content.preprocessing.image_size
    )
    _set_aside_training_of_others([winner.config, *folds.of_folds(winner.config, others)])
    if not finalists.adopt(winner):
        folds.train(winner.config, trials.conditions.precision, others)
    return rows


def _begin(config: SearchConfig, content: Manifest) -> Conditions:
    """Begins a search, or continues one.

    Returns:
        What is the same for all trials.

    Raises:
        UserError: if the run folder was begun otherwise, or holds files that no search writes.
    """
    runs.refuse_foreign_folder(config.run, overwrite=config.overwrite)
    before = _settings_before(config, content)
    precision = before.get(RESOLVED_PRECISION) or resolve_precision(config, content.preprocessing.image_size)
    order = before.get(DATA_ORDER) or data_order(config.records, "train", config.batch_size, config.cache)
    _write_settings(config, content, {RESOLVED_PRECISION: precision, DATA_ORDER: order})
    return _stored_conditions(config)


def _stored_conditions(config: SearchConfig) -> Conditions:
    """What is the same for all trials, as the search stored it when it began."""
    folder = storage.join(config.run, runs.SEARCH)
    stored = continuing.read_json(storage.join(folder, runs.SEARCH_SETTINGS))
    return Conditions(
        precision=stored[RESOLVED_PRECISION],
        order=stored[DATA_ORDER],
        clock=Clock(folder, config.max_time),
        max_params=config.max_params,
        max_latency_ms=config.max_latency_ms,
    )


def _run_trials(trials: Trials) -> None:
    """Runs trials until there are `max_trials`, the tuner has no more, or the time is spent."""
    config, tuner, clock = trials.config, trials.tuner, trials.conditions.clock
    if config.finish:
        return
    tuner_role = parallel.role()
    try:
        if tuner_role != "worker":
            tuner.save()  # so that KerasTuner knows that there is something to continue
        if tuner_role == "chief":
            parallel.serve(tuner.oracle, clock)
        elif tuner_role == "alone" and config.workers:
            parallel.run_local_workers(tuner.oracle, config)
        else:
            clock.check()
            tuner.search()
    except OutOfTimeError:
        logger.info("the time of the search is spent after %.0f min", clock.seconds / 60)
    except KeyboardInterrupt:
        completed = trials.completed() if tuner_role != "worker" else []
        if completed:
            write_report(trials, write_tables(trials))
            logger.info(
                "the best so far is %s, in %s; --finish trains it in full",
                best_so_far(completed),
                trials.run_folder(completed[0][0].trial_id),
            )
        raise


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
        settings = json.loads(json.dumps(config.deciding_the_result())).items()
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
    if config.max_trials < begun and not config.finish:
        raise UserError(
            f"{config.run!r} has {begun} trials already, more than --max-trials {config.max_trials}: give at "
            f"least {begun}, choose another folder, or use --overwrite"
        )


def _set_aside_training_of_others(trainings: Sequence[TrainConfig]) -> None:
    """Makes room for the final training if it trained other settings before.

    Args:
        trainings: the settings of the final training, and of its folds.
    """
    if any(map(_trained_others, trainings)):
        folder = runs.set_training_aside(trainings[0].run)
        logger.info("other settings are better now; what was trained before is in %s", folder)


def _trained_others(config: TrainConfig) -> bool:
    """Whether a run folder was begun with settings that give another result."""
    before = runs.stored_config(config.run)
    now = json.loads(json.dumps(config.deciding_the_result()))  # through JSON, as tuples come back as lists
    return bool(before) and any(
        before.get(name) != value for name, value in now.items() if name not in MAY_DIFFER_IN_TRAINING
    )
