"""Trains a classifier into a run folder, and continues a training that was stopped."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline import runs
from pipeline.dataset import data_order, steps_per_epoch
from pipeline.decision import operating_point
from pipeline.decision.operating_point import Rule
from pipeline.input.arrays import load_arrays
from pipeline.input.examples import refusing_damage
from pipeline.input.reader import DataOrder
from pipeline.model import predict_probabilities
from pipeline.network.calibrated import without_calibration
from pipeline.suitability.describe import describe_training_images
from pipeline.training import distribution, extension
from pipeline.training.calibrate import calibrate
from pipeline.training.checkpoint import RunCheckpoint
from pipeline.training.epoch_bar import EpochBar
from pipeline.training.recipe import (
    MONITOR,
    add_augmentation,
    build_classifier,
    build_inference_model,
    check_trainable,
    class_weights,
    compile_model,
    resolve_attention,
    resolve_precision,
    training_data,
    validation_data,
)
from pipeline.training.saved_state import Position
from pipeline.training.settings import MAY_DIFFER, Precision, TrainConfig
from tfrecords_builder import manifest, storage
from tfrecords_builder.manifest import Manifest

logger = logging.getLogger(__name__)


def train(config: TrainConfig, precision: Precision | None = None) -> None:
    """Trains a classifier, or continues its training, and writes the run folder.

    Args:
        config: the settings of the training.
        precision: the precision of the computation, if it was resolved before; by default it is resolved from
            `config.precision`. A training that continues keeps the precision that it was begun with.

    Raises:
        UserError: if the records cannot be trained with, if the run folder was begun with other settings or
            records or holds files that no training writes, or if the loss becomes NaN.
    """
    if train_model(config, precision):
        _finish(config)
    else:
        logger.info("%s is finished already; --overwrite starts it from the beginning", config.run)


def train_model(
    config: TrainConfig,
    precision: Precision | None = None,
    *,
    order: DataOrder | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> bool:
    """Trains the model of a run folder, and leaves the run unfinished: without threshold and reference.

    Args:
        config: as for `train`.
        precision: as for `train`.
        order: how the training shuffles, if it was resolved before. A training that continues keeps its own.
        callbacks: called after each epoch, when its checkpoint is saved.

    Returns:
        Whether the run was unfinished.

    Raises:
        UserError: as `train` does.
    """
    begun = begin(config, precision, order=order)
    if not extension.prepare(begun.config):
        return False
    _fit(begun, callbacks)
    return True


@dataclasses.dataclass(frozen=True)
class BegunTraining:
    """A training whose settings are complete and written."""

    config: TrainConfig
    """Its settings, with the attention that suits the records."""
    content: Manifest
    """What the records hold."""
    precision: Precision
    order: DataOrder | None
    """How it shuffles; None if each fold has an order of its own, or an earlier version began the run."""


def begin(
    config: TrainConfig, precision: Precision | None = None, *, order: DataOrder | None = None
) -> BegunTraining:
    """Checks the settings, completes them, and writes them into the run folder, with the environment.

    With `config.overwrite`, it deletes the old run first. A training that continues keeps its precision and
    its order.

    Args:
        config: as for `train`.
        precision: as for `train`.
        order: as for `train_model`.

    Raises:
        UserError: as `train` does. Nothing is written or deleted then.
    """
    runs.refuse_foreign_folder(config.run, overwrite=config.overwrite)
    content = manifest.load(config.records)
    config = resolve_attention(config, content)
    check_trainable(config, content)
    stored = {} if config.overwrite else runs.stored_environment(config.run)
    side = content.preprocessing.image_size
    precision = stored.get("precision") or precision or resolve_precision(config, side)
    order = None if config.folds else _resolve_data_order(config, stored, order)
    if config.overwrite:
        runs.delete(config.run)
    elif before := runs.stored_config(config.run):
        runs.refuse_other_records(config.run, content, config.records, before["records"])
    environment = runs.describe_environment(config.seed, precision, order)
    runs.begin(config.run, config.deciding_the_result(), content, environment, MAY_DIFFER)
    return BegunTraining(config, content, precision, order)


def _resolve_data_order(
    config: TrainConfig, stored: Mapping[str, Any], order: DataOrder | None
) -> DataOrder | None:
    """The order in which the training shuffles: that of its beginning, whatever memory is free now.

    Args:
        config: the settings of the training.
        stored: the `environment.json` of the run; empty if the training begins now.
        order: the order of a training that begins, if it was resolved before.

    Returns:
        The order, or None if an earlier version began the run: it stored none.
    """
    if stored:
        return stored.get("data_order")
    return order or data_order(config.records, "train", config.batch_size, config.cache)


def _fit(begun: BegunTraining, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Trains from the last checkpoint to the end. `model.keras` then holds the best averaged weights."""
    config = begun.config
    keras.utils.set_random_seed(config.seed)
    side = begun.content.preprocessing.image_size
    total_steps = steps_per_epoch(begun.content, "train", config.batch_size) * config.epochs
    with distribution.on_all_devices():
        classifier = build_classifier(config, side, begun.precision)
        model = add_augmentation(config, classifier)
        compile_model(model, config, total_steps, begun.precision)
    run_checkpoint = RunCheckpoint(
        config.run,
        classifier,
        inference_model=build_inference_model(config, side),
        monitor=MONITOR,
        patience=config.patience,
        epochs=config.epochs,
        save_every_seconds=config.checkpoint_seconds,
    )
    position = run_checkpoint.restore(model)
    if position != Position():  # a training that was stopped before
        logger.info("continuing %s after epoch %d, step %d", config.run, position.epoch, position.step)
    # All epochs of one call of Keras's `fit` have the same number of steps. So one call finishes an epoch
    # that was stopped in the middle, and the next call trains the epochs after it.
    while position.epoch < config.epochs and not run_checkpoint.has_ended:
        _fit_from(position, model, [run_checkpoint, *callbacks], begun)
        position = run_checkpoint.restore(model)  # `fit` leaves the averaged weights in the model


def _fit_from(
    position: Position,
    model: keras.Model,
    callbacks: Sequence[keras.callbacks.Callback],
    begun: BegunTraining,
) -> None:
    """Trains the rest of an epoch that was stopped in the middle, or else all remaining epochs."""
    config, content = begun.config, begun.content
    steps = steps_per_epoch(content, "train", config.batch_size)
    tensorboard = keras.callbacks.TensorBoard(storage.join(config.run, runs.LOGS))
    # Keras would wait for the metrics of each step, which are not logged, unless all callbacks may run in a
    # thread. On JAX they may not: what reads the model there would take arrays that the step is replacing.
    tensorboard.async_safe = keras.backend.backend() == "tensorflow"
    with refusing_damage(config.records), EpochBar(steps, config.epochs) as bar:
        model.fit(
            training_data(config, position.epoch, position.step, begun.order),
            steps_per_epoch=steps - position.step,
            initial_epoch=position.epoch,
            epochs=position.epoch + 1 if position.step else config.epochs,
            validation_data=validation_data(config, content),
            class_weight=class_weights(config, content),
            callbacks=[tensorboard, bar, *callbacks],
            shuffle=False,  # the dataset is shuffled already
            verbose=0,
        )


def _finish(config: TrainConfig) -> None:
    """Writes what the training images are like, and last the threshold. With it the run is finished."""
    model = runs.load_model(config.run)
    describe_training_images(model, config.records, config.batch_size).save(config.run)
    images, labels = load_arrays(config.records, "val")
    model = without_calibration(model)  # a process that was killed just here had calibrated it
    choose_operating_point(config, model, labels, predict_probabilities(model, images, config.batch_size))


def choose_operating_point(
    config: TrainConfig,
    model: keras.Model,
    labels: NDArray[np.floating],
    probabilities: NDArray[np.floating],
) -> None:
    """Calibrates the model and chooses the threshold on `val`. The run folder is finished then.

    Args:
        config: the settings of the training.
        model: the trained model, not calibrated.
        labels: those of `val`, 0 or 1, shape (n,).
        probabilities: what the model says of the images of `val`, 0 to 1, shape (n,).
    """
    calibrated = calibrate(config.run, model, labels, probabilities, "val", balanced=config.class_weights)
    point = operating_point.choose(labels, calibrated, Rule(target=config.target_sensitivity))
    storage.write(storage.join(config.run, operating_point.FILE_NAME), point.to_json())
    logger.info(
        "threshold %.4f: sensitivity %.3f, specificity %.3f on val",
        point.threshold,
        point.sensitivity,
        point.specificity,
    )
