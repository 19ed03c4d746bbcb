"""The settings and the result of a trial in TensorBoard's table of hyperparameters (HParams)."""

from collections.abc import Mapping

import tensorflow as tf
from tensorboard.plugins.hparams import api

from pipeline import runs
from tfrecords_builder import storage
from tuning.space import Value
from tuning.trial import TrialResult

_FOLDER = "hparams"


def write(run: str, settings: Mapping[str, Value], result: TrialResult) -> None:
    """Writes a trial's settings and result into the logs of its run folder, unless they are there.

    `tensorboard --logdir RUN/search/trials` then shows all trials side by side.

    Args:
        run: the run folder of the trial.
        settings: what was searched, by name.
        result: the result of the trial.
    """
    folder = storage.join(run, runs.LOGS, _FOLDER)
    if any(storage.entries(folder)):
        return
    writer = tf.summary.create_file_writer(folder)
    with writer.as_default():
        api.hparams(dict(settings), trial_id=run)
        for name in ("score", "auc", "params", "latency_ms"):
            tf.summary.scalar(name, getattr(result, name), step=result.epochs)
    writer.close()
