"""Trains one model, or a model for each fold of the patients, which are then averaged into one.

Each model of the folds has a run folder of its own below `RUN/folds/`. A training that is stopped continues
with the fold under way.
"""

import dataclasses
import json
import logging
from collections.abc import Sequence

from pipeline import runs
from pipeline.decision import operating_point
from pipeline.decision.operating_point import Rule
from pipeline.training import extension, fit, fold_records, label_report, out_of_fold
from pipeline.training.averaged_model import average_models
from pipeline.training.calibrate import calibrate
from pipeline.training.settings import Precision, TrainConfig
from tfrecords_builder import storage

logger = logging.getLogger(__name__)


def train(
    config: TrainConfig, precision: Precision | None = None, others: Sequence[TrainConfig] = ()
) -> None:
    """Trains one model, or with `config.folds` several ones that are averaged, and writes the run folder.

    Args:
        config: the settings of the training.
        precision: as for `pipeline.training.fit.train`.
        others: settings that the folds take in turn with those of `config`, so that the networks differ. The
            features of all networks must have the same height and width.

    Raises:
        UserError: as `pipeline.training.fit.train` does, or if there are too few patients for so many folds.
    """
    if not config.folds:
        fit.train(config, precision)
        return
    begun = fit.begin(config, precision)
    if _is_finished(begun.config):
        logger.info("%s is finished already; --overwrite starts it from the beginning", config.run)
        return
    _train_folds(dataclasses.replace(begun.config, overwrite=False), begun.precision, others)


def fold_run(run: str, fold: int) -> str:
    """The run folder of a fold, counted from 1."""
    return storage.join(run, runs.FOLDS, str(fold))


def of_folds(config: TrainConfig, others: Sequence[TrainConfig]) -> list[TrainConfig]:
    """The settings of each fold, but for its records, which are written when the training begins."""
    settings = [config, *others]
    return [
        dataclasses.replace(
            settings[fold % len(settings)],
            run=fold_run(config.run, fold + 1),
            epochs=config.epochs,
            patience=config.patience,
            folds=0,
            seed=config.seed + fold,  # what differs helps an average more than what repeats
        )
        for fold in range(config.folds)
    ]


def _is_finished(config: TrainConfig) -> bool:
    """Whether nothing is left to do. More epochs than before reopen a finished training."""
    before = runs.stored_config(config.run)
    for fold in range(1, config.folds + 1):
        extension.refuse_fewer_epochs(fold_run(config.run, fold), config.epochs)
    changed = {"epochs": config.epochs, "patience": config.patience}
    if before == before | changed:
        return runs.is_finished(config.run)
    storage.write(storage.join(config.run, runs.CONFIG), json.dumps(before | changed, indent=2) + "\n")
    if runs.is_finished(config.run):
        storage.remove(storage.join(config.run, operating_point.FILE_NAME))
    return False


def _train_folds(config: TrainConfig, precision: Precision, others: Sequence[TrainConfig]) -> None:
    folder = storage.join(config.run, runs.FOLDS, runs.FOLD_RECORDS)
    records = fold_records.write_fold_records(config.records, folder, config.folds, config.seed)
    for fold, settings in enumerate(of_folds(config, others)):
        logger.info("fold %d of %d", fold + 1, config.folds)
        fit.train(dataclasses.replace(settings, records=records[fold]), precision)
    _finish(config, records)
    fold_records.delete_fold_records(folder)


def _finish(config: TrainConfig, records: list[str]) -> None:
    """Writes the averaged model and what belongs to it, and last the threshold.

    Args:
        config: the settings of the training.
        records: for each fold its records folder.
    """
    folders = [fold_run(config.run, fold) for fold in range(1, config.folds + 1)]
    members = [runs.load(folder) for folder in folders]
    predicted = out_of_fold.predict(records, [member.model for member in members], config.batch_size)
    averaged = average_models([member.model for member in members])
    if members[0].reference is not None:  # the averaged model describes images by its first member
        members[0].reference.save(config.run)
    calibrated = calibrate(
        config.run,
        averaged,
        predicted.labels,
        predicted.probabilities,
        out_of_fold.CHOSEN_ON,
        balanced=config.class_weights,
    )
    point = out_of_fold.choose_operating_point(
        dataclasses.replace(predicted, probabilities=calibrated),
        Rule(target=config.target_sensitivity),
        trust_labels=config.trust_labels,
    )
    out_of_fold.write_table(config.run, predicted)
    label_report.write(config.run, records, predicted, point)
    storage.write(storage.join(config.run, operating_point.FILE_NAME), point.to_json())
    logger.info(
        "threshold %.4f: sensitivity %.3f, specificity %.3f on %s; %d labels were left out",
        point.threshold,
        point.sensitivity,
        point.specificity,
        point.chosen_on,
        point.labels_left_out,
    )
