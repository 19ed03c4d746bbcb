"""What a server answers about one image."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from serving import names

REFUSED_BY_SERVER = "the server cannot decode the image, or the image has more pixels than the server accepts"

Outputs = Mapping[str, Sequence[Any]]
"""The outputs of a signature by name, each with one value for each image of the batch.

Values are numbers, str for text, bytes for pictures and arrays for heatmaps.
"""


@dataclasses.dataclass(frozen=True, eq=False)
class Reply:
    """What a server replies to one batch."""

    outputs: Outputs
    version: int | None
    """Number of the model's version that answered; None if the server did not tell it."""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the signature `serving_default` answers about one image."""

    probability: float
    """Probability of pneumonia, 0 to 1. It is -1, as in the server's answers, for an image that is not valid:
    leave such images out of means."""
    label: str
    """`NORMAL` or `PNEUMONIA`, decided by the operating point of the served model; `INVALID` for an image
    that is not valid."""
    valid: bool
    """Whether the image could be read and decoded."""
    reason: str = ""
    """Why the image is not valid; empty if it is valid."""
    lung_area: float | None = None
    """Share of the image that the lungs take, 0 to 1; None if the model does not tell it."""
    familiarity: float | None = None
    """Share of the validation images that are less typical of the training images than this one, 0 to 1; None
    if the model does not tell it."""
    warning: str = ""
    """Why the model should not be asked about the image; empty if it noticed nothing."""
    threshold: float | None = None
    """Probability from which the label is PNEUMONIA; None if the model does not tell it."""
    version: int | None = None
    """Number of the model's version that answered; None if the server did not tell it."""

    signature: ClassVar[str] = names.DEFAULT_SIGNATURE

    @classmethod
    def from_reply(cls, reply: Reply) -> list[Self]:
        """The answers about the images of one batch, in the batch's order.

        Raises:
            KeyError: if an output is missing.
            ValueError: if the outputs have different numbers of images.
        """
        outputs = reply.outputs
        probabilities = outputs[names.PROBABILITY]
        # Exports of earlier versions do not have these outputs.
        unknown = [names.UNKNOWN] * len(probabilities)
        rows = zip(
            probabilities,
            outputs[names.LABEL],
            outputs[names.VALID],
            outputs.get(names.LUNG_AREA, unknown),
            outputs.get(names.FAMILIARITY, unknown),
            outputs.get(names.WARNING, [""] * len(probabilities)),
            outputs.get(names.THRESHOLD, unknown),
            strict=True,
        )
        return [
            cls(
                probability=float(probability),
                label=str(label),
                valid=bool(valid),
                reason="" if valid else REFUSED_BY_SERVER,
                lung_area=_known(lung_area),
                familiarity=_known(familiarity),
                warning=str(warning),
                threshold=_known(threshold),
                version=reply.version,
            )
            for probability, label, valid, lung_area, familiarity, warning, threshold in rows
        ]

    @classmethod
    def invalid(cls, reason: str) -> Self:
        """The answer about an image that the client does not send, for this reason."""
        return cls(names.INVALID_PROBABILITY, names.INVALID_LABEL, valid=False, reason=reason)


def _known(share: float) -> float | None:
    return None if share == names.UNKNOWN else float(share)


def _region(top: float, left: float, bottom: float, right: float) -> tuple[float, float, float, float]:
    return float(top), float(left), float(bottom), float(right)


def _no_heatmap() -> NDArray[np.float32]:
    return np.zeros((0, 0), np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation(Prediction):
    """What the signature `gradcam` answers about one image: a prediction, and a heatmap that explains it."""

    heatmap: NDArray[np.float32] = dataclasses.field(default_factory=_no_heatmap, repr=False)
    """How much each pixel counts as evidence for the label: float32 (side, side), 0 to 1; (0, 0) if the image
    was not sent."""
    evidence: float | None = None
    """How strong the heatmap is: by how many units of the logit all that counts for the label moves it. The
    heatmap itself is scaled to a maximum of 1. None if the model does not tell it, or the image is not
    valid."""
    overlay: bytes = dataclasses.field(default=b"", repr=False)
    """PNG file of the heatmap over the image as the model sees it; empty for an image that is not valid.
    `serving.client.pictures` draws it over the original image."""
    region: tuple[float, float, float, float] | None = None
    """Top, left, bottom and right of the part of the image that the heatmap covers, as shares of height and
    width; None if the model does not tell it."""
    lungs: NDArray[np.float32] | None = dataclasses.field(default=None, repr=False)
    """How probably each place of this part is in a lung: float32 (height, width), 0 to 1; None if the model
    does not tell it."""

    signature: ClassVar[str] = names.GRADCAM_SIGNATURE

    @classmethod
    def from_reply(cls, reply: Reply) -> list[Self]:
        """The answers about the images of one batch, in the batch's order.

        Raises:
            KeyError: if an output is missing.
            ValueError: if the outputs have different numbers of images.
        """
        outputs = reply.outputs
        predictions, heatmaps = Prediction.from_reply(reply), outputs[names.HEATMAP]
        nothing = [None] * len(heatmaps)
        rows = zip(
            predictions,
            heatmaps,
            outputs[names.OVERLAY_BYTES],
            # Exports of earlier versions do not have these outputs.
            outputs.get(names.EVIDENCE, [names.UNKNOWN] * len(heatmaps)),
            outputs.get(names.REGION, nothing),
            outputs.get(names.LUNGS, nothing),
            strict=True,
        )
        return [
            cls(
                **dataclasses.asdict(prediction),
                heatmap=np.asarray(heatmap, np.float32),
                evidence=_known(evidence),
                overlay=bytes(overlay),
                region=None if region is None else _region(*region),
                lungs=None if lungs is None else np.asarray(lungs, np.float32),
            )
            for prediction, heatmap, overlay, evidence, region, lungs in rows
        ]
