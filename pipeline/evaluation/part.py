"""What each part of an evaluation is given, and what it returns.

A part is a module of this folder with a function `measure_part(subject: Subject) -> Part`. Its piece of the
page is the template beside it, `<module>.html.jinja`, which sees `subject` and the part's `figures` and
`pictures`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.predictions import Predictions
from pipeline.input.arrays import Images, Masks
from pipeline.model import predict_probabilities
from pipeline.runs import Run
from tfrecords_builder.manifest import Manifest


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """What is measured: a run, the images of a split, and what the run predicts for them."""

    MOST_CHANGED: ClassVar[int] = 2000
    """Of a larger split, at most so many images are changed and predicted again."""

    run: Run
    images: Images
    """(n, side, side, 1), 0 to 255, in the order of the predictions."""
    predictions: Predictions
    batch_size: int
    """Images that the model computes at once."""
    lungs: Masks
    """Lung masks of the records."""
    records: Manifest
    """The `dataset.json` of the images' records."""
    trained_with: Manifest
    """That of the records of the training."""
    prevalences: Sequence[float]
    """Shares of patients with pneumonia for which predictive values are computed."""
    lesions: Masks | None = None
    """Where lesions are known to be; None if that is not known of any image."""

    def sample(self, count: int) -> "Subject":
        """At most so many of the images, evenly spaced; records are shuffled when they are built."""
        if len(self.images) <= count:
            return self
        rows = np.linspace(0, len(self.images) - 1, count).astype(np.int64)
        return dataclasses.replace(
            self,
            images=self.images[rows],
            predictions=self.predictions.take(rows),
            lungs=self.lungs.take(rows),
            lesions=None if self.lesions is None else self.lesions.take(rows),
        )

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The run's probabilities of pneumonia (batch,) for images (batch, side, side, 1), 0 to 255."""
        return predict_probabilities(self.run.model, images, self.batch_size)


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """The result of one part."""

    name: str
    """Name of the part's module and of its template."""
    figures: Any
    """A frozen dataclass. Its fields become keys at the top of `metrics.json`; see docs/metrics.md."""
    pictures: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    """PNG files by file name; they are written beside the page and into it."""
    summary: str = ""
    """What the command prints of this part: lines of text, or nothing."""
