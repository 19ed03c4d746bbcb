"""The first sentences of the page: whether the model can be used on such images at all."""

import dataclasses
from collections.abc import Sequence

from pipeline.evaluation.intervals import Interval
from pipeline.evaluation.part import Part, Subject
from pipeline.evaluation.thresholds import AtThreshold

CHANCE = 0.5
"""AUC of a model that guesses."""
LOWEST_AUC = 0.7
"""Below it, discrimination is poor (Hosmer, Lemeshow and Sturdivant, Applied Logistic Regression, 2013,
section 5.2.4)."""
LOWEST_SPECIFICITY = 0.5
"""Below it, most of the NORMAL images are called PNEUMONIA."""
MOST_WARNED = 0.1
"""Share of images with a warning. Of the validation images it is 0.01."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The figures of this part."""

    reasons_against_use: list[str]
    """Sentences. If there is one, the model should not be used on such images."""


def measure(auc: Interval, rates: AtThreshold, warned: Interval, target_sensitivity: float | None) -> Verdict:
    """Looks for reasons against the use of a model.

    Args:
        auc: its AUC.
        rates: its rates at its operating point.
        warned: share of the images that it warns about.
        target_sensitivity: the sensitivity that its threshold was chosen for; None if for none.
    """
    reasons = [fault] if (fault := ranking_fault(auc)) else []
    if target_sensitivity is not None and rates.sensitivity.high < target_sensitivity:
        reasons.append(
            f"It misses more PNEUMONIA images than it was meant to: sensitivity {rates.sensitivity}, where "
            f"its threshold was chosen for {target_sensitivity:g}."
        )
    if rates.specificity.value < LOWEST_SPECIFICITY:
        reasons.append(f"It calls most NORMAL images PNEUMONIA: specificity {rates.specificity}.")
    if warned.value > MOST_WARNED:
        reasons.append(
            f"It warns about {warned.value:.0%} of the images: they are unlike its training images."
        )
    return Verdict(reasons)


def ranking_fault(auc: Interval) -> str:
    """A sentence that says why an AUC is too low for any use; empty if it is not."""
    if auc.value < LOWEST_AUC:
        return f"It hardly tells PNEUMONIA from NORMAL here: AUC {auc}, where {CHANCE} is chance."
    if auc.low <= CHANCE:
        return f"It is not shown to be better than chance here: AUC {auc}, where {CHANCE} is chance."
    return ""


def measure_part(subject: Subject, parts: Sequence[Part]) -> Part:
    """The verdict on what the other parts measured, without pictures."""
    figures = {part.name: part.figures for part in parts}
    verdict = measure(
        figures["discrimination"].over_thresholds.auc,
        figures["thresholds"].at_operating_point,
        figures["warnings"].warned,
        subject.run.operating_point.target_sensitivity,
    )
    summary = ["Do not use this model on such images.", *verdict.reasons_against_use]
    return Part("verdict", verdict, summary="\n".join(summary) if verdict.reasons_against_use else "")
