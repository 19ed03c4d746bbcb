"""`python -m pipeline.evaluate RUN RECORDS`: measures a run on a split, in a folder of `RUN/evaluation/`."""

import dataclasses
import re
from typing import Annotated

import tyro

from pipeline.evaluation import DEFAULT_PREVALENCES
from pipeline.runs import EVALUATION_NAME_CHARACTERS
from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run
from tfrecords_builder.cli.options import optional
from tfrecords_builder.records import Split


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Measures how well a trained model classifies the images of one split.

    Prints the main figures. Writes to RUN/evaluation/NAME-SPLIT/: report.html (a page with all figures and
    pictures), metrics.json (all figures), predictions.csv (one row for each image), model_card.md (for a
    model hub), and the pictures as PNG files. Images of a large split are kept in a temporary file, in the
    folder that TMPDIR names. The records may be others than those that the model was trained with, for
    example of another hospital.
    """

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """Run folder of a finished training; a path or a URL."""
    records: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECORDS")]
    """Folder of records; a path or a URL. They must have been built with the same image size and border as
    those that the model was trained with."""
    split: Split = "test"
    """Split whose images are classified."""
    name: Annotated[str | None, optional("NAME")] = None
    """Name of the evaluation, of letters, digits, _, - and dots; by default that of the RECORDS folder. The
    evaluation of other records is never written over."""
    prevalences: tuple[float, ...] = DEFAULT_PREVALENCES
    """Shares of patients with pneumonia, above 0 and below 1, for which the page states predictive values:
    give that of your own patients."""
    measure_explanations: bool = False
    """Also test the heatmaps of Grad-CAM and of HiResCAM, a variant of it. Does the answer change when their
    hottest pixels are blurred (deletion) or shown alone (insertion), and do the maps change when the weights
    are random? It takes about 70 predictions for each of at most 500 images."""
    lesions: Annotated[str | None, optional("FILE")] = None
    """Also test the heatmaps, as --measure-explanations does, against lesions that are known. FILE is JSON:
    an object from the path of each image, relative to the folder of FILE, to a list of boxes [left, top,
    width, height] in pixels of the original image, as in the lesions.json of `python -m
    tfrecords_builder.synthesize`. It is not needed for records that were built with --table.box."""
    mlflow: Annotated[str | None, optional("URI")] = None
    """Address of an MLflow tracking server to which figures and page are logged. By default it is that in
    MLFLOW_TRACKING_URI, if that is set. Needs the extra mlflow."""
    batch_size: int = 64
    """Number of images that the model classifies at once, at least 1. The figures do not depend on it."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1. Received: {self.batch_size}")
        if not all(0 < prevalence < 1 for prevalence in self.prevalences):
            raise ValueError(f"prevalences must be above 0 and below 1. Received: {self.prevalences}")
        if self.name is not None and not re.fullmatch(rf"[{EVALUATION_NAME_CHARACTERS}]+", self.name):
            raise ValueError(f"name must have letters, digits, '_', '-' and '.' only. Received: {self.name}")


def main(config: EvaluateConfig) -> None:
    """Evaluates, then prints the main figures and the path of the page."""
    from pipeline.evaluation.evaluate import evaluate
    from pipeline.tracking import tensorboard_events
    from pipeline.tracking.mlflow_runs import tracker

    tracked = tracker(config.mlflow)
    evaluation = evaluate(
        config.run,
        config.records,
        config.split,
        config.batch_size,
        name=config.name,
        prevalences=config.prevalences,
        measure_explanations=config.measure_explanations,
        lesions=config.lesions,
    )
    tensorboard_events.log_evaluation(config.run, evaluation)
    if tracked:
        tracked.log_evaluation(config.run, evaluation.page.rpartition("/")[0], evaluation.metrics)
    print(evaluation.summary)  # noqa: T201
    print(evaluation.page)  # noqa: T201


if __name__ == "__main__":
    run(main, EvaluateConfig, "python -m pipeline.evaluate", load=startup.load_keras_on_tensorflow)
