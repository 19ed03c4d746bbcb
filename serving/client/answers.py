"""What a server answers about one image, and the signature of the SavedModel that answers it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

INVALID_LABEL = "INVALID"
INVALID_PROBABILITY = -1.0

REFUSED_BY_SERVER = "the server cannot decode it, or it has more pixels than the server's limit"

Outputs = Mapping[str, Sequence[Any]]
"""By output name, one value per image: numbers, str for labels, bytes for pictures, arrays for heatmaps."""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The answer of `serving_default` for one image."""

    probability: float
    """Of pneumonia, 0 to 1; -1 for an image that is not valid."""
    label: str
    """NORMAL or PNEUMONIA, by the operating point of the served run; INVALID for what is no valid image."""
    valid: bool
    """Whether there is an answer."""
    reason: str = ""
    """Why the image is not valid; empty if it is."""

    signature: ClassVar[str] = "serving_default"

    @classmethod
    def from_outputs(cls, outputs: Outputs) -> list[Self]:
        """The answers of one batch, in its order.

        Raises:
            KeyError: if an output is missing.
            ValueError: if outputs have different numbers of images.
        """
        return [
            cls(float(probability), str(label), bool(valid), "" if valid else REFUSED_BY_SERVER)
            for probability, label, valid in zip(
                outputs["probability"], outputs["label"], outputs["valid"], strict=True
            )
        ]

    @classmethod
    def invalid(cls, reason: str) -> Self:
        """The answer for an image that was not sent."""
        return cls(INVALID_PROBABILITY, INVALID_LABEL, valid=False, reason=reason)


def _no_heatmap() -> NDArray[np.float32]:
    return np.zeros((0, 0), np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation(Prediction):
    """The answer of `gradcam` for one image."""

    heatmap: NDArray[np.float32] = dataclasses.field(default_factory=_no_heatmap, repr=False)
    """float32 (side, side), 0 to 1: how much each region speaks for the label; (0, 0) if nothing was sent."""
    overlay: bytes = dataclasses.field(default=b"", repr=False)
    """PNG of the heatmap over what the model saw; empty for an image that is not valid."""

    signature: ClassVar[str] = "gradcam"

    @classmethod
    def from_outputs(cls, outputs: Outputs) -> list[Self]:
        """The answers of one batch, in its order; raises as `Prediction.from_outputs`."""
        return [
            cls(
                **dataclasses.asdict(prediction),
                heatmap=np.asarray(heatmap, np.float32),
                overlay=bytes(overlay),
            )
            for prediction, heatmap, overlay in zip(
                Prediction.from_outputs(outputs), outputs["heatmap"], outputs["overlay_bytes"], strict=True
            )
        ]
