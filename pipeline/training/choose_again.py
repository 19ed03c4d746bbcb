"""Chooses the threshold of a finished run again, without training."""

import dataclasses
import logging

from pipeline import runs
from pipeline.decision import operating_point
from pipeline.decision.calibration import Calibration
from pipeline.decision.operating_point import OperatingPoint, Rule
from pipeline.input.arrays import load_arrays
from pipeline.model import predict_probabilities
from pipeline.runs import Run
from pipeline.training import out_of_fold
from pipeline.training.out_of_fold import OutOfFold
from tfrecords_builder import manifest, storage
from tfrecords_builder.errors import UserError
from tfrecords_builder.records import Split

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Choice:
    """A new operating point beside the one before."""

    before: OperatingPoint
    chosen: OperatingPoint


def choose_again(
    run_folder: str, records: str | None, split: Split, rule: Rule, *, trust_labels: bool, batch_size: int
) -> Choice:
    """Chooses a threshold and writes it into the run folder.

    Args:
        run_folder: folder of a finished run; a path or a URL.
        records: folder of records that were built with the run's preprocessing; a path or a URL. By default
            the images are those that the training chose its threshold on.
        split: the split of the records.
        rule: what the threshold is chosen by.
        trust_labels: whether suspicious labels of a training in folds are kept.
        batch_size: images that the model computes at once. The threshold does not depend on it.

    Raises:
        UserError: if the run is not finished, if the records do not fit it, or if no threshold fulfills the
            rule.
    """
    run = runs.load(run_folder)
    storage.check_writable(run_folder)
    try:
        if records is None and storage.exists(storage.join(run_folder, runs.OUT_OF_FOLD)):
            predicted = _calibrated(out_of_fold.read_table(run_folder), run.calibration)
            chosen = out_of_fold.choose_operating_point(predicted, rule, trust_labels=trust_labels)
        else:
            chosen = _choose_on_split(run, records or run.config["records"], split, rule, batch_size)
    except ValueError as error:
        raise UserError(str(error)) from None
    storage.write(storage.join(run_folder, operating_point.FILE_NAME), chosen.to_json())
    if storage.exists(storage.join(run_folder, runs.EVALUATION)):
        logger.info(
            "%s/%s has the figures of the threshold before: evaluate again", run_folder, runs.EVALUATION
        )
    return Choice(run.operating_point, chosen)


def _calibrated(predicted: OutOfFold, calibration: Calibration | None) -> OutOfFold:
    if calibration is None:
        return predicted
    return dataclasses.replace(predicted, probabilities=calibration.apply(predicted.probabilities))


def _choose_on_split(run: Run, records: str, split: Split, rule: Rule, batch_size: int) -> OperatingPoint:
    content = manifest.load(records)
    runs.check_split(run, content, records, split)
    is_own = content == manifest.load(run.folder)
    if is_own and split == "test":
        logger.warning(
            "the threshold is chosen on the test images: figures of them no longer say how good it is"
        )
    images, labels = load_arrays(records, split)
    probabilities = predict_probabilities(run.model, images, batch_size)
    name = split if is_own else f"{split} of {records}"
    return operating_point.choose(labels, probabilities, rule, name)
