"""How the answers of the web service look as JSON."""

from typing import Self

import pydantic

from serving.client.answers import Explanation, Prediction


class Answer(pydantic.BaseModel):
    """What the model says about one X-ray."""

    file: str = pydantic.Field(description="Name of the file, as it was sent.")
    valid: bool = pydantic.Field(description="Whether the file could be read and decoded.")
    reason: str = pydantic.Field(description="Why it is not valid; empty if it is.")
    probability: float | None = pydantic.Field(
        description="Probability of pneumonia, 0 to 1; null if the file is not valid."
    )
    label: str = pydantic.Field(description="NORMAL, PNEUMONIA, or INVALID for a file that is not valid.")
    threshold: float | None = pydantic.Field(
        description="Probability from which the label is PNEUMONIA: the operating point of the model."
    )
    warning: str = pydantic.Field(
        description="Why the model should not be asked about this image; empty if it noticed nothing."
    )
    lung_area: float | None = pydantic.Field(description="Share of the image that the lungs take, 0 to 1.")
    familiarity: float | None = pydantic.Field(
        description="Share of the validation images that are less typical of the training images, 0 to 1."
    )
    version: int | None = pydantic.Field(description="Number of the model's version that answered.")

    @classmethod
    def of(cls, file: str, answer: Prediction) -> Self:
        """The JSON of what the client returned about a file."""
        return cls(
            file=file,
            valid=answer.valid,
            reason=answer.reason,
            probability=answer.probability if answer.valid else None,
            label=answer.label,
            threshold=answer.threshold,
            warning=answer.warning,
            lung_area=answer.lung_area,
            familiarity=answer.familiarity,
            version=answer.version,
        )


class Layers(pydantic.BaseModel):
    """Pictures to lay over one another, each a base64-encoded file."""

    xray_jpeg: str = pydantic.Field(description="The whole X-ray, shrunk to at most 1024 pixels: JPEG.")
    heat_png: str = pydantic.Field(
        description="The heatmap in colors, transparent where there is no heat: PNG. It covers `region`."
    )
    lungs_png: str | None = pydantic.Field(
        description="The outline of the lungs, transparent elsewhere: PNG. It covers `region`; null if the "
        "model does not find lungs."
    )


class ExplainedAnswer(Answer):
    """The same, with what explains it."""

    evidence: float | None = pydantic.Field(
        default=None,
        description="How strong the heatmap is: by how many units of the logit all that counts for the label "
        "moves it. The heatmap itself is scaled to a maximum of 1.",
    )
    region: tuple[float, float, float, float] | None = pydantic.Field(
        default=None,
        description="Top, left, bottom and right of the part of the image that the model saw, as shares of "
        "height and width.",
    )
    layers: Layers | None = pydantic.Field(
        default=None,
        description="Null if the file is not valid, or an earlier version exported the model.",
    )

    @classmethod
    def of(cls, file: str, answer: Prediction, layers: Layers | None = None) -> Self:
        """The JSON of what the client returned about a file."""
        plain = Answer.of(file, answer).model_dump()
        if not isinstance(answer, Explanation):
            return cls(**plain)
        return cls(**plain, evidence=answer.evidence, region=answer.region, layers=layers)


class Predictions(pydantic.BaseModel):
    """Answers in the order of the files."""

    answers: list[Answer]


class Explanations(pydantic.BaseModel):
    """Explained answers in the order of the files."""

    answers: list[ExplainedAnswer]


class Limits(pydantic.BaseModel):
    """What a request may hold."""

    files: int = pydantic.Field(description="Maximum number of files.")
    bytes: int = pydantic.Field(description="Maximum number of bytes, of all files together.")


class Readiness(pydantic.BaseModel):
    """Whether the model server answers."""

    ready: bool
    version: int | None = pydantic.Field(description="Number of the model's version that answers.")
    threshold: float | None = pydantic.Field(description="Its operating point.")
    reason: str = pydantic.Field(description="Why it does not answer; empty if it does.")
    limits: Limits


class Allowed(pydantic.BaseModel):
    """That a request brought the right token, or needs none."""

    allowed: bool


class Failure(pydantic.BaseModel):
    """Why a request was not answered."""

    error: str
