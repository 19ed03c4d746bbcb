import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tensorboard.plugins.pr_curve import metadata

from pipeline import runs
from pipeline.evaluation.evaluate import evaluate
from pipeline.tracking.tensorboard_events import log_evaluation


@pytest.fixture
def run(finished_run, tmp_path) -> Path:
    """A copy of a run, so that others do not find its evaluation."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


def read(run: Path) -> EventMultiplexer:
    events = EventMultiplexer().AddRunsFromDirectory(str(run / "logs"))
    events.Reload()
    return events


def test_tensorboard_reads_curve_figures_and_pictures_of_an_evaluation(run, records):
    evaluation = evaluate(str(run), records, name="mine")

    log_evaluation(str(run), evaluation)
    log_evaluation(str(run), evaluation)  # takes the place of the first

    events = read(run)
    name = "evaluation-mine-test"
    (auc,) = events.Tensors(name, "auc")
    expected = evaluation.metrics["over_thresholds"]["auc"]["value"]
    assert tf.make_ndarray(auc.tensor_proto) == pytest.approx(expected)
    (curve,) = events.Tensors(name, "precision_recall/pr_curves")
    plugin = events.SummaryMetadata(name, "precision_recall/pr_curves").plugin_data.plugin_name
    assert plugin == metadata.PLUGIN_NAME
    values = tf.make_ndarray(curve.tensor_proto)
    is_pneumonia, found = evaluation.predictions.labels == 1, evaluation.predictions.probabilities >= 0.5
    assert values[0, 100] == (is_pneumonia & found).sum()  # true positives at threshold 0.5
    assert values[1, 100] == (~is_pneumonia & found).sum()
    shown = {kind: images for kind, images in evaluation.metrics["gallery"].items() if images}
    assert shown
    for kind, images in shown.items():
        (pictures,) = events.Tensors(name, kind)
        assert len(tf.make_ndarray(pictures.tensor_proto)) == 2 + len(images)  # width and height come first
    runs.refuse_foreign_folder(str(run), overwrite=True)  # the files are known as those of a run
