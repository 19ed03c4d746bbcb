"""Accuracy, precision, recall and AUC of an epoch, from one count of the probabilities of each class."""

from typing import Any

import keras
from keras import ops

BINS = 2000
"""Intervals of probability. With 200 the AUC is inexact where most probabilities are close to 0 or 1."""


class ClassificationCounts(keras.metrics.Metric):
    """Keras metric that counts how many images of each class have a probability in each of BINS intervals.

    Its result has what Keras's `BinaryAccuracy`, `Precision`, `Recall` (at threshold 0.5) and `AUC` would
    have, which each count for themselves.
    """

    def __init__(self, name: str = "classification") -> None:
        super().__init__(name=name)
        self.counts = self.add_variable((2, BINS), "zeros", name="counts")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # noqa: ARG002
        """Counts a batch; every image counts the same.

        Args:
            y_true: labels, 0 or 1, (batch,) or (batch, 1).
            y_pred: probabilities, 0 to 1, of the same number of elements.
            sample_weight: not used.
        """
        labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        probabilities = ops.cast(ops.reshape(y_pred, (-1,)), "float32")
        # Bins hold their upper end, as a probability of 0.5 counts as negative.
        bins = ops.clip(ops.cast(ops.ceil(probabilities * BINS), "int32") - 1, 0, BINS - 1)
        counts = ops.segment_sum(ops.ones_like(probabilities), labels * BINS + bins, num_segments=2 * BINS)
        self.counts.assign(self.counts + ops.reshape(counts, (2, BINS)))

    def result(self) -> dict[str, Any]:
        """`accuracy`, `precision`, `recall` and `auc`; those without any image to be computed from are 0."""
        negatives, positives = self.counts[0], self.counts[1]
        num_negatives, num_positives = ops.sum(negatives), ops.sum(positives)
        false_positives, true_positives = ops.sum(negatives[BINS // 2 :]), ops.sum(positives[BINS // 2 :])
        true_negatives = num_negatives - false_positives
        # The trapezoids under the ROC curve: in a bin, each pair of a positive and a negative counts half.
        pairs_in_order = ops.sum(positives * (ops.cumsum(negatives) - negatives / 2))
        return {
            "accuracy": _ratio(true_positives + true_negatives, num_positives + num_negatives),
            "precision": _ratio(true_positives, true_positives + false_positives),
            "recall": _ratio(true_positives, num_positives),
            "auc": _ratio(pairs_in_order, num_positives * num_negatives),
        }


def _ratio(part: Any, whole: Any) -> Any:
    return part / ops.maximum(whole, 1.0)
