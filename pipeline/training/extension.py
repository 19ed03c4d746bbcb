"""What is left to do in a run folder that was begun before: the rest, more epochs, or nothing."""

import json
import logging

from pipeline import runs
from pipeline.decision import operating_point
from pipeline.training import history, saved_state
from pipeline.training.recipe import MONITOR
from pipeline.training.settings import TrainConfig
from tfrecords_builder import storage
from tfrecords_builder.errors import UserError

logger = logging.getLogger(__name__)


def refuse_fewer_epochs(run: str, epochs: int) -> None:
    """Refuses a number of epochs that is smaller than the number of those that are completed.

    Raises:
        UserError: if it is smaller.
    """
    completed = len(saved_state.stored_history(run))
    if epochs < completed:
        raise UserError(
            f"{run!r} has been trained for {completed} epochs, more than --epochs {epochs}: give at least "
            f"{completed}, choose another folder, or use --overwrite"
        )


def prepare(config: TrainConfig) -> bool:
    """Decides whether a run that was begun is to be trained on. A finished run that is extended is reopened.

    Returns:
        Whether there is something left to do.

    Raises:
        UserError: if the run cannot be trained for so many epochs, or for so few.
    """
    before = runs.stored_config(config.run)
    if config.patience < before["patience"]:
        raise UserError(
            f"{config.run!r} was begun with patience={before['patience']}, more than --patience "
            f"{config.patience}: give at least as much, choose another folder, or use --overwrite"
        )
    refuse_fewer_epochs(config.run, config.epochs)
    if runs.is_finished(config.run) and not _is_extended(config, before["epochs"]):
        return False
    changed = {"epochs": config.epochs, "patience": config.patience}
    if before != before | changed:
        logger.info("%s: now up to %d epochs, with patience %d", config.run, config.epochs, config.patience)
        storage.write(storage.join(config.run, runs.CONFIG), json.dumps(before | changed, indent=2) + "\n")
    if runs.is_finished(config.run) and storage.exists(storage.join(config.run, runs.EVALUATION)):
        logger.info("%s/%s is of the model so far: evaluate again at the end", config.run, runs.EVALUATION)
    # Without its threshold the run counts as unfinished until it is chosen for the new model.
    if runs.is_finished(config.run):
        storage.remove(storage.join(config.run, operating_point.FILE_NAME))
    return True


def _is_extended(config: TrainConfig, epochs_before: int) -> bool:
    """Whether a finished run has epochs left with the settings that are given now."""
    completed = saved_state.stored_history(config.run)
    waited = history.epochs_without_better(completed, MONITOR)
    if len(completed) < config.epochs and waited < config.patience:
        if not saved_state.exists(config.run):
            raise UserError(
                f"{config.run!r} has no checkpoint/ to go on from, because an earlier version finished it or "
                "it was deleted: choose another folder, or start from the beginning with --overwrite"
            )
        return True
    if config.epochs > epochs_before:
        raise UserError(
            f"{config.run!r} stopped after epoch {len(completed)}, because {waited} epochs brought no better "
            f"validation loss: to go on, give more --patience than {config.patience}"
        )
    return False
