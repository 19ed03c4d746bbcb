"""How good the classifier is, as medicine asks it: at a threshold, over all thresholds, and how surely."""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix, roc_auc_score

CONFIDENCE = 0.95
BOOTSTRAP_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Interval:
    """A figure and the ends of its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class AtThreshold:
    """Figures of one threshold; PNEUMONIA is the positive class."""

    threshold: float
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    accuracy: Interval
    sensitivity: Interval
    """Recall: the fraction of the pneumonias that are found."""
    specificity: Interval
    """The fraction of the normal images that are called normal."""
    precision: Interval
    """Positive predictive value, at the prevalence of these images."""
    negative_predictive_value: Interval
    f1: float


@dataclasses.dataclass(frozen=True)
class OverThresholds:
    """Figures that need no threshold."""

    auc: Interval
    """Area under the ROC curve."""
    average_precision: float
    brier: float
    """Mean squared difference of probability and label, 0 is best."""


def at_threshold(
    labels: NDArray[np.float32], probabilities: NDArray[np.float32], threshold: float
) -> AtThreshold:
    """Counts and rates of calling PNEUMONIA what is at least `threshold`.

    The intervals are Wilson's (JASA 1927). A rate of nothing (no positive predicted, say) is NaN.

    Args:
        labels: (n,), 0 or 1.
        probabilities: (n,), 0 to 1.
        threshold: 0 to 1.
    """
    predicted = probabilities >= threshold
    counts = confusion_matrix(labels.astype(bool), predicted, labels=[False, True]).ravel()
    true_negatives, false_positives, false_negatives, true_positives = (int(count) for count in counts)
    found = 2 * true_positives + false_positives + false_negatives
    return AtThreshold(
        threshold=threshold,
        true_positives=true_positives,
        false_positives=false_positives,
        true_negatives=true_negatives,
        false_negatives=false_negatives,
        accuracy=_proportion(true_positives + true_negatives, len(labels)),
        sensitivity=_proportion(true_positives, true_positives + false_negatives),
        specificity=_proportion(true_negatives, true_negatives + false_positives),
        precision=_proportion(true_positives, true_positives + false_positives),
        negative_predictive_value=_proportion(true_negatives, true_negatives + false_negatives),
        f1=2 * true_positives / found if found else float("nan"),
    )


def over_thresholds(
    labels: NDArray[np.float32], probabilities: NDArray[np.float32], seed: int = 0
) -> OverThresholds:
    """Areas under the curves; the interval of the AUC is a stratified percentile bootstrap.

    Args:
        labels: (n,), 0 or 1, both present.
        probabilities: (n,), 0 to 1.
        seed: of the bootstrap.
    """
    return OverThresholds(
        auc=Interval(auc(labels, probabilities), *_bootstrap_auc(labels, probabilities, seed)),
        average_precision=float(average_precision_score(labels, probabilities)),
        brier=float(brier_score_loss(labels, probabilities)),
    )


def auc(labels: NDArray[np.float32], probabilities: NDArray[np.float32]) -> float:
    """Area under the ROC curve, of labels (n,), 0 or 1, both present."""
    return float(roc_auc_score(labels, probabilities))


def _proportion(successes: int, trials: int) -> Interval:
    if not trials:
        return Interval(float("nan"), float("nan"), float("nan"))
    interval = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(successes / trials, float(interval.low), float(interval.high))


def _bootstrap_auc(
    labels: NDArray[np.float32], probabilities: NDArray[np.float32], seed: int
) -> tuple[float, float]:
    """AUC by the Mann-Whitney statistic, over resamples of each class."""

    def of(positives: NDArray[np.float32], negatives: NDArray[np.float32]) -> float:
        ranks = stats.rankdata(np.concatenate([positives, negatives]))
        above = ranks[: len(positives)].sum() - len(positives) * (len(positives) + 1) / 2
        return float(above / (len(positives) * len(negatives)))

    interval = stats.bootstrap(
        (probabilities[labels == 1], probabilities[labels == 0]),
        of,
        n_resamples=BOOTSTRAP_RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=False,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)
