"""Evaluations in TensorBoard: precision-recall curve, main figures, and the pictures with heat."""

import tensorflow as tf
from tensorboard.plugins.pr_curve import summary as pr_curve

from pipeline import runs
from pipeline.evaluation.evaluate import Evaluation
from tfrecords_builder import storage
from tfrecords_builder.records import PNEUMONIA

_THRESHOLDS = 201
"""Of the precision-recall curve, evenly spaced from 0 to 1: TensorBoard's default."""


def log_evaluation(run_folder: str, evaluation: Evaluation) -> None:
    """Writes an evaluation into the logs of its run, in the place of one of the same name.

    `tensorboard --logdir RUN/logs` then shows it beside the curves of the training.

    Args:
        run_folder: folder of the run; a path or a URL.
        evaluation: what was found.
    """
    folder = storage.join(run_folder, runs.LOGS, f"evaluation-{evaluation.name}")
    for name, _ in list(storage.entries(folder)):
        storage.remove(storage.join(folder, name))
    predictions = evaluation.predictions
    curve = pr_curve.pb(
        "precision_recall", predictions.labels == PNEUMONIA, predictions.probabilities, _THRESHOLDS
    )
    writer = tf.summary.create_file_writer(folder)
    with writer.as_default(step=0):
        tf.summary.experimental.write_raw_pb(curve.SerializeToString())
        tf.summary.scalar("auc", evaluation.metrics["over_thresholds"]["auc"]["value"])
        for name in ("sensitivity", "specificity", "accuracy"):
            tf.summary.scalar(name, evaluation.metrics["at_operating_point"][name]["value"])
        for kind, shown in evaluation.metrics["gallery"].items():
            pictures = [tf.io.decode_png(evaluation.pictures[image["picture"]], 3) for image in shown]
            if pictures:
                tf.summary.image(kind, tf.stack(pictures), max_outputs=len(pictures))
    writer.close()
