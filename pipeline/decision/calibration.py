"""Probabilities that mean what they say: slope and intercept of a model's logits, and how they are fitted."""

import dataclasses
import json

import numpy as np
from numpy.typing import NDArray

FILE_NAME = "calibration.json"
CLIPPED = 1e-7
"""Probabilities nearer than this to 0 or 1 are taken for this near: their logit would be infinite."""
LOWEST_SLOPE = 1e-3
"""A smaller slope would give all images nearly the same probability, or turn their order around."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Logits are multiplied by a slope, and an intercept is added.

    Raises:
        ValueError: if the slope is not above 0.
    """

    slope: float
    """Factor of the logit: 1 divided by the temperature of Guo et al. (ICML 2017)."""
    intercept: float
    """Added to the logit."""
    fitted_on: str
    """Names the images that it was fitted on."""
    images: int
    """Number of these images."""
    prevalence: float
    """Share of PNEUMONIA among the images, as they were weighted, that the probabilities assume."""
    log_loss_before: float
    """Weighted mean negative log likelihood of these images' labels without calibration, in nats."""
    log_loss_after: float
    """The same with calibration."""

    def __post_init__(self) -> None:
        if not self.slope > 0:
            raise ValueError(f"slope must be above 0. Received: {self.slope}")

    def apply(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
        """Calibrated probabilities of uncalibrated ones, 0 to 1."""
        return _expit(self.slope * logit(probabilities) + self.intercept)

    def undo(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
        """Uncalibrated probabilities of calibrated ones, 0 to 1."""
        return _expit((logit(probabilities) - self.intercept) / self.slope)

    def to_json(self) -> str:
        """The text of `calibration.json`."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Calibration":
        """Reads what `to_json` wrote."""
        return cls(**json.loads(text))


def logit(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """log(p / (1 - p)), of probabilities clipped to `CLIPPED` from 0 and 1."""
    clipped = np.clip(np.asarray(probabilities, np.float64), CLIPPED, 1 - CLIPPED)
    return np.log(clipped) - np.log1p(-clipped)


def _expit(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-logits))


def fit(
    labels: NDArray[np.integer | np.floating],
    probabilities: NDArray[np.floating],
    fitted_on: str,
    *,
    balanced: bool = False,
) -> Calibration:
    """Fits slope and intercept to labels (Platt, Advances in Large Margin Classifiers, 1999).

    Platt's targets lie a little inside 0 and 1, the more so the fewer images a class has. So the fit is
    finite even where the probabilities separate the classes.

    Args:
        labels: shape (n,), 0 or 1, both present.
        probabilities: shape (n,), 0 to 1, without calibration.
        fitted_on: names the images.
        balanced: whether both classes count alike, so that the probabilities are those at a prevalence of one
            half, as those of a training with class weights. By default all images count alike, and the
            probabilities are those at the prevalence of these images.

    Raises:
        ValueError: if a class is missing, or probabilities do not rise with the labels.
    """
    truth = np.asarray(labels, np.float64)
    times = _balancing(truth) if balanced else np.ones_like(truth)
    slope, intercept = slope_and_intercept(truth, logit(probabilities), times)
    if not slope > LOWEST_SLOPE:
        raise ValueError(
            "the probabilities cannot be calibrated: they are not higher for PNEUMONIA than for NORMAL "
            f"(slope {slope:.3g})"
        )
    fitted = Calibration(
        slope=slope,
        intercept=intercept,
        fitted_on=fitted_on,
        images=len(truth),
        prevalence=float(times @ truth / times.sum()),
        log_loss_before=_log_loss(truth, np.asarray(probabilities), times),
        log_loss_after=0.0,
    )
    after = _log_loss(truth, fitted.apply(probabilities), times)
    return dataclasses.replace(fitted, log_loss_after=after)


def _balancing(labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of images, 1 on average, with which both classes count alike; all 1 if there is one class."""
    counts = np.bincount(labels.astype(int), minlength=2)
    return (len(labels) / (2 * counts))[labels.astype(int)] if counts.all() else np.ones_like(labels)


def slope_and_intercept(
    labels: NDArray[np.float64], logits: NDArray[np.float64], times: NDArray[np.float64]
) -> tuple[float, float]:
    """Logistic regression of Platt's targets on logits.

    Args:
        labels: 0 or 1, (images,).
        logits: (images,).
        times: how often each image counts, (images,).

    Returns:
        Slope, which is not always above 0, and intercept.

    Raises:
        ValueError: if a class is missing.
    """
    from scipy import optimize  # takes a moment to load, and commands import this module

    positives, negatives = float(times @ labels), float(times @ (1 - labels))
    if not (positives and negatives):
        raise ValueError(f"both classes are needed to calibrate. Received: {np.unique(labels[times > 0])}")
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss_and_gradient(coefficients: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        calibrated = coefficients[0] * logits + coefficients[1]
        excess = times * (_expit(calibrated) - targets) / times.sum()
        loss = times @ (np.logaddexp(0, calibrated) - targets * calibrated) / times.sum()
        return float(loss), np.array([excess @ logits, excess.sum()])

    found = optimize.minimize(loss_and_gradient, [1.0, 0.0], jac=True, method="BFGS", options={"gtol": 1e-8})
    return float(found.x[0]), float(found.x[1])


def _log_loss(
    labels: NDArray[np.float64], probabilities: NDArray[np.floating], times: NDArray[np.float64]
) -> float:
    logits = logit(probabilities)
    return float(times @ (np.logaddexp(0, logits) - labels * logits) / times.sum())
