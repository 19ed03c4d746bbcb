"""The recipe of a training: its model, optimizer, loss, metrics, data, class weights and precision.

`pipeline.training.fit`, the architecture search and the benchmark are all made from these functions, so that
they train in the same way.
"""

import dataclasses
import logging
import math
from collections.abc import Callable
from typing import Any, TypeVar

import keras
import tensorflow as tf

from pipeline.augmentation import AcquisitionAugmentation
from pipeline.dataset import make_dataset
from pipeline.input.reader import DataOrder
from pipeline.model import build_model, has_lung_attention
from pipeline.network import custom
from pipeline.network.names import LUNG_LOGITS
from pipeline.training import distribution
from pipeline.training.classification_counts import ClassificationCounts
from pipeline.training.fold_records import check_folds
from pipeline.training.lung_supervision import LungSupervision
from pipeline.training.normalization import FusedBatchNormalization
from pipeline.training.optimizer import make_optimizer
from pipeline.training.precision import fastest
from pipeline.training.settings import Attention, Precision, TrainConfig
from tfrecords_builder import storage
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Manifest
from tfrecords_builder.records import CLASS_NAMES, Split

MONITOR = "val_loss"
"""The metric that selects the best epoch and the best architecture; the smallest value is the best."""

ConfigT = TypeVar("ConfigT", bound=TrainConfig)

logger = logging.getLogger(__name__)

_LOSSES: dict[str, Callable[..., keras.losses.Loss]] = {
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
    "binary_focal_crossentropy": keras.losses.BinaryFocalCrossentropy,
}
_BYTES_PER_NUMBER = 4  # float32 and int32
_BYTES_OF_DESCRIPTION = 2048  # of each variable in an HDF5 file, measured: up to 1,100


def check_trainable(config: TrainConfig, content: Manifest) -> None:
    """Refuses settings and records that cannot be trained together, before anything is written.

    Raises:
        UserError: if train or val lacks a class, if the images are too small for the network, if the
            devices cannot share a batch evenly, if there is no mask for lung attention, or if there are too
            few patients for so many folds.
    """
    splits: tuple[Split, ...] = ("train", "val")
    for split in splits:
        classes = content.splits[split].classes if split in content.splits else {}
        missing = [name for name in CLASS_NAMES if not classes.get(name)]
        if missing:
            raise UserError(
                f"the {split!r} records have no {' and no '.join(missing)} image: training needs both "
                "classes in train and in val"
            )
    side, smallest = content.preprocessing.image_size, config.model.smallest_image_size
    if side < smallest and config.model_builder is None:
        raise UserError(
            f"{len(config.model.filters)} blocks (--model.filters) need images of at least {smallest} pixels "
            f"a side, but those of the records have {side}: give fewer filters"
        )
    if config.model.attention == "lungs" and not _has_lungs(content, "train"):
        raise UserError(
            "--model.attention lungs needs lung masks, but the 'train' records have none: build records with "
            "--lungs DIR or --lungs auto, or train with --model.attention none"
        )
    if config.folds:
        check_folds(content, config.folds)
    if config.loss not in _LOSSES:
        custom.load_function(config.loss)
    distribution.check_batch_size(config.batch_size)


def resolve_precision(config: TrainConfig, image_size: int) -> Precision:
    """Returns the precision that the user asked for; for `auto`, the one whose training step is the fastest.

    Args:
        config: the settings of the training.
        image_size: side of the images, in pixels.
    """
    if config.precision != "auto":
        return config.precision
    return fastest(
        lambda precision: add_augmentation(config, build_classifier(config, image_size, precision)),
        (config.batch_size, image_size, image_size, 1),
    )


def build_classifier(config: TrainConfig, image_size: int, precision: Precision) -> keras.Model:
    """Builds the classifier with freshly initialized weights and with layers that are fast to train.

    Args:
        config: the settings of the training.
        image_size: side of the images, in pixels.
        precision: the precision of the computation.

    Returns:
        A model as of `pipeline.model.build_model`.

    Raises:
        UserError: if the network of a user's own cannot be used.
    """
    if config.model_builder is not None:
        return custom.build(config.model_builder, image_size, precision, config.seed)
    return build_model(
        config.model,
        image_size,
        precision=precision,
        seed=config.seed,
        batch_normalization=FusedBatchNormalization,
    )


def build_inference_model(config: TrainConfig, image_size: int) -> keras.Model:
    """Builds the model of the same weights that computes in float32 and is saved.

    Args:
        config: the settings of the training.
        image_size: side of the images, in pixels.
    """
    if config.model_builder is not None:
        return custom.build(config.model_builder, image_size, "float32", config.seed)
    return build_model(config.model, image_size)


def resolve_attention(config: ConfigT, content: Manifest) -> ConfigT:
    """Replaces the attention `auto` by `lungs` if the records of train have lung masks, else by `none`.

    A network of a user's own decides by itself whether it has lung attention.

    Args:
        config: the settings of the training.
        content: the `dataset.json` of the records.
    """
    if config.model_builder is not None:
        own = build_inference_model(config, content.preprocessing.image_size)
        attention: Attention = "lungs" if has_lung_attention(own) else "none"
    elif config.model.attention != "auto":
        return config
    else:
        attention = "lungs" if _has_lungs(content, "train") else "none"
    logger.info("attention: %s", attention)
    return dataclasses.replace(config, model=dataclasses.replace(config.model, attention=attention))


def _has_lungs(content: Manifest, split: Split) -> bool:
    return split in content.splits and content.splits[split].lungs > 0


def add_augmentation(config: TrainConfig, classifier: keras.Model) -> keras.Model:
    """Puts the augmentation in front of the classifier. It runs on the training device, in validation too.

    In validation the images are augmented in a fixed way, because on unchanged images from the hospital of
    the training images every model is almost perfect.

    With lung attention the new model takes (images, lungs), and the attention learns from the lungs.

    Args:
        config: the settings of the training.
        classifier: the model that gets the augmented images; the new model shares its weights.
    """
    augmentation = AcquisitionAugmentation(config.augmentation, seed=config.seed, in_validation=True)
    images = keras.Input(classifier.input_shape[1:], name="images")
    if not has_lung_attention(classifier):
        return TrainingModel(images, classifier(augmentation(images)))
    lungs = keras.Input(classifier.input_shape[1:], name="lungs")
    classify = keras.Model(
        classifier.inputs, [classifier.outputs[0], classifier.get_layer(LUNG_LOGITS).output]
    )
    moved_images, moved_lungs = augmentation(images, lungs)
    probability, lung_logits = classify(moved_images)
    supervision = LungSupervision(config.lung_loss, dtype="float32")
    return TrainingModel([images, lungs], supervision(probability, lung_logits, moved_lungs))


class TrainingModel(keras.Model):
    """The model that is trained, from (images, lungs) or images to probabilities, with its metrics."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.classification = ClassificationCounts()

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:  # noqa: ARG002
        """The metrics of the epoch so far, with those of a batch, by their names."""
        self.classification.update_state(y, y_pred)
        return dict(self.get_metrics_result())

    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves the weights, as every Keras model does, if there is space for them.

        Raises:
            OSError: if there is not. The HDF5 library ends the process if it cannot write.
        """
        variables = [*self.variables, *self.optimizer.variables]
        num_bytes = sum(math.prod(variable.shape) * _BYTES_PER_NUMBER for variable in variables)
        storage.check_space(filepath, num_bytes + _BYTES_OF_DESCRIPTION * len(variables))
        super().save_weights(filepath, *args, **kwargs)


def compile_model(model: keras.Model, config: TrainConfig, total_steps: int, precision: Precision) -> None:
    """Gives the model its optimizer and loss.

    Args:
        model: the model to train.
        config: the settings of the training.
        total_steps: training steps in all epochs together, for the schedule of the learning rate.
        precision: the precision of the computation, in which the model was built.
    """
    optimizer = make_optimizer(config, total_steps)
    if precision == "mixed_float16":  # float16 has too few exponents for small gradients
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(
        optimizer,
        loss=_loss(config),
        # XLA makes the training step on CPUs slower: docs/performance.md.
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
        auto_scale_loss=False,
    )
    if not tf.distribute.has_strategy():  # with one, Keras does the same in the scope of the strategy
        # TensorFlow traces a training step twice if the first one makes variables.
        model.optimizer.build(model.trainable_variables)


def _loss(config: TrainConfig) -> Any:
    if config.loss in _LOSSES:
        return _LOSSES[config.loss](label_smoothing=config.label_smoothing)
    return custom.load_function(config.loss)


def training_data(
    config: TrainConfig, first_epoch: int = 0, first_batch: int = 0, order: DataOrder | None = None
) -> tf.data.Dataset:
    """The batches of `train` without end, shuffled anew in each epoch.

    Args:
        config: the settings of the training.
        first_epoch: the epoch to start with, counted from 0; it decides the order.
        first_batch: the batch of that epoch to start with, counted from 0.
        order: how the training shuffled when it was begun; None for the order of the reader chosen now.

    Returns:
        Dataset of (images uint8 (batch, side, side, 1), labels float32 (batch,)); labels are 0 or 1. With
        lung attention it is one of ((images, lungs), labels), as of `pipeline.dataset.make_dataset`.
    """
    return make_dataset(
        config.records,
        "train",
        batch_size=config.batch_size,
        training=True,
        cache=config.cache,
        seed=config.seed,
        order=order,
        first_epoch=first_epoch,
        first_batch=first_batch,
        epochs=None,
        lungs=config.model.attention == "lungs",
    )


def validation_data(config: TrainConfig, content: Manifest) -> tf.data.Dataset:
    """The batches of `val`, in the order in which they are stored.

    Args:
        config: the settings of the training.
        content: the `dataset.json` of the records.

    Returns:
        Dataset of (images, labels), as of `training_data`. With class weights it has a third element, the
        weights float32 (batch,): without them the loss would mostly be that of the larger class.
    """
    dataset = make_dataset(
        config.records,
        "val",
        batch_size=config.batch_size,
        training=False,
        cache=config.cache,
        lungs=config.model.attention == "lungs",
    )
    weights = class_weights(config, content)
    if weights is None:
        return dataset
    of_label = tf.constant([weights[label] for label in sorted(weights)])

    def add_weights(inputs: Any, labels: tf.Tensor) -> tuple[Any, tf.Tensor, tf.Tensor]:
        return inputs, labels, tf.gather(of_label, tf.cast(labels, tf.int32))

    return dataset.map(add_weights)


def class_weights(config: TrainConfig, content: Manifest) -> dict[int, float] | None:
    """The weight of an image of each label in the loss, or None if the config asks for no class weights.

    All images of one class together weigh as much as those of the other, and the mean weight is 1.

    Args:
        config: the settings of the training.
        content: the `dataset.json` of the records.
    """
    if not config.class_weights:
        return None
    counts = content.splits["train"].classes
    total = sum(counts.values())
    return {label: total / (len(CLASS_NAMES) * counts[name]) for label, name in enumerate(CLASS_NAMES)}
