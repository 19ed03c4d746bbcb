"""What a run predicts for the images of one split, and where each image comes from."""

import dataclasses

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.input.arrays import load_arrays, load_origins
from pipeline.runs import Run
from tfrecords_builder import storage
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

    def __post_init__(self) -> None:
        columns = (self.labels, self.probabilities, self.sources, self.patients, self.subtypes)
        if len({len(column) for column in columns}) != 1:
            raise ValueError(f"all fields must be of one length. Received: {[len(c) for c in columns]}")

    @property
    def called_pneumonia(self) -> NDArray[np.bool_]:
        """Whether each image is called PNEUMONIA at the operating point, (n,)."""
        return self.probabilities >= self.threshold

    def to_csv(self) -> str:
        """The text of `predictions.csv`: one row per image."""
        columns = (self.sources, self.patients, self.subtypes, self.labels, self.probabilities)
        return storage.to_csv(
            [
                {
                    "source": source,
                    "patient": patient,
                    "subtype": subtype,
                    "label": CLASS_NAMES[int(label)],
                    "probability": f"{probability:.6f}",
                }
                for source, patient, subtype, label, probability in zip(*columns, strict=True)
            ]
        )


def predict_split(
    run: Run, records: str, split: Split, batch_size: int
) -> tuple[Predictions, NDArray[np.uint8]]:
    """Predicts a whole split.

    Args:
        run: a finished run.
        records: folder of records that were built with the run's preprocessing; a path or a URL.
        split: `train`, `val` or `test`.
        batch_size: images that the model computes at once. The predictions do not depend on it.

    Returns:
        The predictions, and the images uint8 (n, side, side, 1), 0 to 255, in the same order.

    Raises:
        UserError: if the folder has no such records.
    """
    images, labels = (np.asarray(array) for array in load_arrays(records, split))
    origins = load_origins(records, split)
    predictions = Predictions(
        split=split,
        labels=labels,
        probabilities=predict_probabilities(run.model, images, batch_size),
        threshold=run.operating_point.threshold,
        sources=tuple(origin["source"] for origin in origins),
        patients=tuple(origin["patient"] for origin in origins),
        subtypes=tuple(origin["subtype"] for origin in origins),
    )
    return predictions, images


def predict_probabilities(
    model: keras.Model, images: NDArray[np.uint8], batch_size: int
) -> NDArray[np.float32]:
    """The probabilities of pneumonia, float32 (n,), of images uint8 (n, side, side, 1)."""
    return np.asarray(model.predict(images, batch_size=batch_size, verbose=0)[:, 0])
