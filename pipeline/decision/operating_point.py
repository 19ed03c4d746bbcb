"""The threshold that turns a probability into a label, and how it is chosen."""

import dataclasses
import json
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FILE_NAME = "operating_point.json"
DEFAULT_TARGET_SENSITIVITY = 0.97
_ROUNDING = 1e-9  # a sum of floating-point numbers may fall short of the target by so much

RuleName = Literal["sensitivity", "specificity", "youden", "cost"]


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a threshold is chosen by.

    Raises:
        ValueError: if a number is out of its range.
    """

    name: RuleName = "sensitivity"
    """`sensitivity`: the highest specificity with at least this sensitivity. `specificity`: the highest
    sensitivity with at least this specificity. `youden`: the largest sum of sensitivity and specificity.
    `cost`: the lowest expected cost."""
    target: float = DEFAULT_TARGET_SENSITIVITY
    """The sensitivity or specificity that is asked for, above 0 and at most 1."""
    confidence: float | None = None
    """With this confidence the target holds for other images of the same kind (exact binomial, one-sided);
    above 0 and below 1. By default the target holds for the images that the threshold is chosen on."""
    missed_cost: float = 10.0
    """What a missed pneumonia costs, in false alarms; above 0."""
    prevalence: float | None = None
    """Share of patients with pneumonia where the threshold is used, for the expected cost; above 0 and below
    1. By default that of the images."""

    def __post_init__(self) -> None:
        if not 0 < self.target <= 1:
            raise ValueError(f"target must be above 0 and at most 1. Received: {self.target}")
        if self.missed_cost <= 0:
            raise ValueError(f"missed_cost must be above 0. Received: {self.missed_cost}")
        for name in ("confidence", "prevalence"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise ValueError(f"{name} must be above 0 and below 1. Received: {value}")
        if self.confidence is not None and not self.has_target:
            raise ValueError(
                f"confidence needs the rule sensitivity or specificity. Received: the rule {self.name}"
            )

    @property
    def has_target(self) -> bool:
        """Whether the rule has a target."""
        return self.name in ("sensitivity", "specificity")

    def __str__(self) -> str:
        """The rule in words."""
        sure = "" if self.confidence is None else f" for other images, with confidence {self.confidence:g}"
        at = "" if self.prevalence is None else f" at a prevalence of {self.prevalence:g}"
        cost = f"{self.missed_cost:g} false alarms{at}"
        return {
            "sensitivity": f"highest specificity with sensitivity at least {self.target:g}{sure}",
            "specificity": f"highest sensitivity with specificity at least {self.target:g}{sure}",
            "youden": "largest sum of sensitivity and specificity (Youden, Cancer 1950)",
            "cost": f"lowest expected cost, where a missed pneumonia costs {cost}",
        }[self.name]


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """A threshold, how it was chosen, and the sensitivity and specificity it reached on those images."""

    threshold: float
    """An image is labeled PNEUMONIA if its probability is at least this."""
    target_sensitivity: float | None
    """The sensitivity that was asked for, above 0 and at most 1; None if the rule was another one."""
    sensitivity: float
    """The sensitivity that the threshold reached, 0 to 1."""
    specificity: float
    """The specificity that the threshold reached, 0 to 1."""
    chosen_on: str
    """The split that it was chosen on."""
    rule: str
    """How it was chosen, in words."""
    labels_left_out: int = 0
    """Number of images that were left out because their label seems wrong."""
    threshold_with_all_labels: float | None = None
    """The threshold that would have been chosen on all images, if some were left out."""
    confidence: float | None = None
    """Confidence, 0 to 1, that the target holds for other images of the same kind: the exact binomial one of
    a threshold that is fixed beforehand. None if the rule has no target, or an earlier version chose it."""

    def to_json(self) -> str:
        """The text of `operating_point.json`."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "OperatingPoint":
        """Reads what `to_json` wrote."""
        return cls(**json.loads(text))


def choose(
    labels: NDArray[np.integer | np.floating],
    probabilities: NDArray[np.floating],
    rule: Rule | None = None,
    chosen_on: str = "val",
) -> OperatingPoint:
    """Chooses a threshold.

    The threshold lies halfway between the lowest probability that is labeled PNEUMONIA and the next lower
    one. Rounding in another runtime then moves no image across it.

    Args:
        labels: shape (n,), 0 or 1, both present.
        probabilities: shape (n,), 0 to 1.
        rule: what it is chosen by; by default a sensitivity of 0.97.
        chosen_on: names the images.

    Returns:
        The operating point.

    Raises:
        ValueError: if a class is missing, or no threshold fulfills the rule.
    """
    from sklearn.metrics import roc_curve  # takes a second to load, and commands import this module

    rule = rule or Rule()
    if len(np.unique(labels)) != 2:  # noqa: PLR2004 - two classes
        raise ValueError(f"both classes are needed to choose a threshold. Received: {np.unique(labels)}")
    false_positive_rate, sensitivities, thresholds = roc_curve(labels, probabilities, drop_intermediate=False)
    # The first point of the curve is a threshold above all probabilities.
    sensitivities, specificities, thresholds = sensitivities[1:], 1 - false_positive_rate[1:], thresholds[1:]
    positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
    chosen = _index(rule, sensitivities, specificities, positives, negatives)
    lowest_positive = float(thresholds[chosen])
    below = probabilities[probabilities < lowest_positive]
    next_lower = float(below.max()) if below.size else 0.0
    reached = {"sensitivity": (sensitivities, positives), "specificity": (specificities, negatives)}
    confidence = None
    if rule.has_target:
        rates, images = reached[rule.name]
        confidence = confidence_in(rule.target, round(float(rates[chosen]) * images), images)
    return OperatingPoint(
        threshold=(lowest_positive + next_lower) / 2,
        target_sensitivity=rule.target if rule.name == "sensitivity" else None,
        sensitivity=float(sensitivities[chosen]),
        specificity=float(specificities[chosen]),
        chosen_on=chosen_on,
        rule=str(rule),
        confidence=confidence,
    )


def confidence_in(target: float, hits: int, images: int) -> float:
    """The confidence that a rate is at least the target, if it was reached by so many of the images.

    It is that of the one-sided interval of Clopper and Pearson (Biometrika 1934) that begins at the target.
    """
    from scipy import stats  # takes a second to load

    return float(stats.binom.cdf(hits - 1, images, target))


def _index(
    rule: Rule,
    sensitivities: NDArray[np.float64],
    specificities: NDArray[np.float64],
    positives: int,
    negatives: int,
) -> int:
    """The position of the chosen threshold on the ROC curve, whose sensitivity rises."""
    if rule.name == "sensitivity":
        return int(np.argmax(sensitivities >= _needed(rule, positives, "PNEUMONIA") - _ROUNDING))
    if rule.name == "specificity":
        allowed = np.flatnonzero(specificities >= _needed(rule, negatives, "NORMAL") - _ROUNDING)
        if not len(allowed):
            raise ValueError(f"no threshold that finds any pneumonia has a specificity of {rule.target:g}")
        return int(allowed[-1])
    if rule.name == "youden":
        return int(np.argmax(sensitivities + specificities))
    prevalence = rule.prevalence or positives / (positives + negatives)
    missed, alarmed = prevalence * (1 - sensitivities), (1 - prevalence) * (1 - specificities)
    return int(np.argmin(rule.missed_cost * missed + alarmed))


def _needed(rule: Rule, images: int, class_name: str) -> float:
    """The rate that has to be reached on the images."""
    if rule.confidence is None:
        return rule.target
    for hits in range(round(rule.target * images), images + 1):
        if confidence_in(rule.target, hits, images) >= rule.confidence:
            return hits / images
    raise ValueError(
        f"{images} {class_name} images are too few for a confidence of {rule.confidence:g} in a "
        f"{rule.name} of {rule.target:g}, even if all are called what they are"
    )
