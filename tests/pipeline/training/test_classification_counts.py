import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import accuracy_score, precision_score, recall_score, roc_auc_score

from pipeline.training.classification_counts import BINS, ClassificationCounts


@pytest.fixture
def batches():
    """Labels (batch,) and probabilities (batch, 1) of 7 batches, some of them exactly at the threshold."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, (7, 41)).astype(np.float32)
    logits = generator.normal(3 * labels - 1.5, 2)
    probabilities = np.round(1 / (1 + np.exp(-logits)), 3).astype(np.float32)
    probabilities[:, :3] = [0.5, 0, 1]
    return list(zip(labels, probabilities[..., None], strict=True))


def as_one(batches):
    labels, probabilities = (np.concatenate(part) for part in zip(*batches, strict=True))
    return labels, probabilities[:, 0]


def figures(metric) -> dict[str, float]:
    return {name: float(value) for name, value in metric.result().items()}


@pytest.mark.parametrize("as_graph", [False, True])
def test_the_figures_are_those_of_scikit_learn(batches, as_graph):
    metric = ClassificationCounts()
    update = tf.function(metric.update_state) if as_graph else metric.update_state
    for labels, probabilities in batches:
        update(tf.constant(labels), tf.constant(probabilities))

    labels, probabilities = as_one(batches)
    positive = probabilities > 0.5
    assert figures(metric) == pytest.approx(
        {
            "accuracy": accuracy_score(labels, positive),
            "precision": precision_score(labels, positive),
            "recall": recall_score(labels, positive),
            "auc": roc_auc_score(labels, probabilities),  # no two of them share a bin that differ
        },
        rel=1e-5,
    )


def test_the_figures_are_those_of_keras(batches):
    theirs = {
        "accuracy": keras.metrics.BinaryAccuracy(),
        "precision": keras.metrics.Precision(),
        "recall": keras.metrics.Recall(),
        "auc": keras.metrics.AUC(num_thresholds=BINS + 1),
    }
    ours = ClassificationCounts()
    for labels, probabilities in batches:
        for metric in (ours, *theirs.values()):
            metric.update_state(labels[:, None], probabilities)

    assert figures(ours) == pytest.approx(
        {name: float(each.result()) for name, each in theirs.items()}, rel=1e-3
    )


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_images_of_one_class_give_numbers(label):
    metric = ClassificationCounts()
    metric.update_state(np.array([label, label]), np.array([0.2, 0.4]))

    assert figures(metric) == {"accuracy": 1 - label, "precision": 0, "recall": 0, "auc": 0}


def test_an_epoch_begins_with_no_images(batches):
    metric = ClassificationCounts()
    metric.update_state(*batches[0])
    metric.reset_state()

    assert figures(metric) == {"accuracy": 0, "precision": 0, "recall": 0, "auc": 0}
