"""What a run predicts for the images of one split, and where each image comes from."""

import dataclasses
from collections.abc import Mapping, Sized
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.input.arrays import Images, Masks, load_details, load_images, load_origins
from pipeline.runs import Run
from pipeline.suitability.assessment import UNKNOWN, Assessment, Assessor
from tfrecords_builder import storage
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.records import CLASS_NAMES, Split


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Labels and predicted probabilities of n images, in the order in which the split is stored.

    Raises:
        ValueError: if the fields are not of the same length.
    """

    split: Split
    labels: NDArray[np.float32]
    """True labels (n,): 0 for NORMAL, 1 for PNEUMONIA."""
    probabilities: NDArray[np.float32]
    """Predicted probabilities of pneumonia (n,), 0 to 1."""
    threshold: float
    """The run's operating point: an image is called PNEUMONIA if its probability is at least this."""
    sources: tuple[str, ...]
    """Path of each image, relative to the source folder."""
    patients: tuple[str, ...]
    """Identifier of each image's patient."""
    subtypes: tuple[str, ...]
    """`bacteria`, `virus` or empty for each image."""
    lung_areas: NDArray[np.float32]
    """Share of each image that the lungs take, 0 to 1, or -1 if the model does not tell it, (n,)."""
    familiarities: NDArray[np.float32]
    """Share of the validation images that are less typical of the training images, 0 to 1, or -1 if the run
    does not tell it, (n,)."""
    warnings: tuple[str, ...]
    """Why the model should not be asked about each image; empty if nothing was noticed."""
    sizes: NDArray[np.int64]
    """Width and height of each original image in pixels, (n, 2); 0 where the records do not tell them."""
    columns: Mapping[str, tuple[str, ...]]
    """Cells of each column of a table that the records keep, n each."""

    def __post_init__(self) -> None:
        columns: tuple[Sized, ...] = (
            self.labels,
            self.probabilities,
            self.sources,
            self.patients,
            self.subtypes,
            self.lung_areas,
            self.familiarities,
            self.warnings,
            self.sizes,
            *self.columns.values(),
        )
        if len({len(column) for column in columns}) != 1:
            raise ValueError(f"all fields must be of one length. Received: {[len(c) for c in columns]}")

    def take(self, rows: NDArray[Any]) -> "Predictions":
        """The predictions of some images: positions, or a truth value for each image."""
        rows = np.arange(len(self.labels))[rows]

        def select(column: Any) -> Any:
            return column[rows] if isinstance(column, np.ndarray) else tuple(column[row] for row in rows)

        columns = {
            field.name: select(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if field.name not in ("split", "threshold", "columns")
        }
        kept = {name: select(cells) for name, cells in self.columns.items()}
        return dataclasses.replace(self, **columns, columns=kept)

    @property
    def called_pneumonia(self) -> NDArray[np.bool_]:
        """Whether each image is called PNEUMONIA at the operating point, (n,)."""
        return self.probabilities >= self.threshold

    def to_csv(self) -> str:
        """The text of `predictions.csv`: one row per image."""
        columns = (
            self.sources,
            self.patients,
            self.subtypes,
            self.labels,
            self.probabilities,
            self.lung_areas,
            self.familiarities,
            self.warnings,
        )
        return storage.to_csv(
            [
                {
                    "source": source,
                    "patient": patient,
                    "subtype": subtype,
                    "label": CLASS_NAMES[int(label)],
                    "probability": f"{probability:.6f}",
                    "lung_area": _text(lung_area),
                    "familiarity": _text(familiarity),
                    "warning": warning,
                }
                for source, patient, subtype, label, probability, lung_area, familiarity, warning in zip(
                    *columns, strict=True
                )
            ]
        )


def _text(share: float) -> str:
    return "" if share == UNKNOWN else f"{share:.6f}"


def predict_split(
    run: Run, records: str, split: Split, batch_size: int
) -> tuple[Predictions, Images, Masks | None]:
    """Predicts a whole split.

    Args:
        run: a finished run.
        records: folder of records that were built with the run's preprocessing; a path or a URL.
        split: `train`, `val` or `test`.
        batch_size: images that the model computes at once. The predictions do not depend on it.

    Returns:
        The predictions, the images in the same order, and masks of the lesions that the records tell, or
        None.

    Raises:
        UserError: if the folder has no such records.
    """
    images, labels = load_images(records, split)
    origins, details = load_origins(records, split), load_details(records, split)
    probabilities, assessment = _predict_and_assess(run, images, batch_size)
    predictions = Predictions(
        split=split,
        labels=labels,
        probabilities=probabilities,
        threshold=run.operating_point.threshold,
        sources=tuple(origin["source"] for origin in origins),
        patients=tuple(origin["patient"] for origin in origins),
        subtypes=tuple(origin["subtype"] for origin in origins),
        lung_areas=assessment.lung_area.numpy(),
        familiarities=assessment.familiarity.numpy(),
        warnings=tuple(warning.decode() for warning in assessment.warning.numpy()),
        sizes=np.stack([details.widths, details.heights], axis=1),
        columns=details.columns,
    )
    return predictions, images, details.lesions


def _predict_and_assess(run: Run, images: Images, batch_size: int) -> tuple[NDArray[np.float32], Assessment]:
    """The probabilities of pneumonia (n,), and the assessment of all images without their lungs."""
    assess = tf.function(Assessor(run.model, run.reference, run.model.outputs[0]))
    begins = range(0, len(images), batch_size)
    batches = [
        assess(images[begin : begin + batch_size])
        for begin in progress(begins, len(begins), "predicting batches", quiet_if_quick=True)
    ]
    columns = [(found.lung_area, found.familiarity, found.warning) for _, found in batches]
    lung_area, familiarity, warning = (tf.concat(column, axis=0) for column in zip(*columns, strict=True))
    probabilities = np.concatenate([output[:, 0] for output, _ in batches])
    return probabilities, Assessment(lung_area, familiarity, warning, lungs=None)
