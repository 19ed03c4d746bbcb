"""`python -m pipeline.train RECORDS RUN`: trains the classifier and leaves a run folder."""

import logging

import keras
import numpy as np
import tensorflow as tf

from pipeline import operating_point, runs
from pipeline.augmentation import AcquisitionAugmentation
from pipeline.dataset import make_dataset, steps_per_epoch
from pipeline.input.arrays import load_arrays
from pipeline.model import build_model
from pipeline.training import checkpoint, distribution, precision
from pipeline.training.checkpoint import Position, RunCheckpoint
from pipeline.training.normalization import FusedBatchNormalization
from pipeline.training.optimizer import FusedAdamW
from pipeline.training.settings import Precision, TrainConfig
from tfrecords_builder import manifest, storage
from tfrecords_builder.cli.command import run
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Manifest
from tfrecords_builder.records import CLASS_NAMES, Split

MONITOR = "val_loss"
AUC_THRESHOLDS = 2000
"""Keras's 200 are too few where most probabilities are close to 0 or 1."""

logger = logging.getLogger(__name__)


def train(config: TrainConfig) -> None:
    """Trains, or continues a training, and writes the run folder.

    Raises:
        UserError: for records or a run folder that do not fit.
    """
    content = manifest.load(config.records)
    check_both_classes(content)
    if config.overwrite and storage.exists(config.run):
        tf.io.gfile.rmtree(config.run)
    environment = runs.begin(
        config.run,
        config.deciding_the_result(),
        content,
        lambda: runs.environment(config.seed) | {"precision": _chosen_precision(config, content)},
    )
    if runs.is_finished(config.run):
        logger.info("%s is finished already; --overwrite starts it anew", config.run)
        return
    fit(config, content, environment["precision"])
    _finish(config)


def _chosen_precision(config: TrainConfig, content: Manifest) -> Precision:
    side = content.preprocessing.image_size
    return precision.resolve(
        config.precision,
        lambda name: trainable(config, classifier_to_train(config, side, name)),
        (config.batch_size, side, side, 1),
    )


def fit(config: TrainConfig, content: Manifest, chosen: Precision) -> None:
    """Trains from the last checkpoint to the end; the best weights are left as `model.keras`."""
    keras.utils.set_random_seed(config.seed)
    side = content.preprocessing.image_size
    steps = steps_per_epoch(content, "train", config.batch_size)
    with distribution.on_all_devices(config.batch_size):
        classifier = classifier_to_train(config, side, chosen)
        model = trainable(config, classifier)
        compile_model(model, config, steps * config.epochs, scale_loss=chosen == "mixed_float16")
    keeper = RunCheckpoint(
        config.run,
        classifier,
        build_model(config.model, side),
        monitor=MONITOR,
        patience=config.patience,
        seconds=config.checkpoint_seconds,
    )
    position = keeper.restore(model)
    if position != Position():
        logger.info("continuing %s after epoch %d, step %d", config.run, position.epoch, position.step)
    while position.epoch < config.epochs and not keeper.has_ended:
        _fit_from(position, model, keeper, config, content)
        position = keeper.restore(model)  # Keras leaves the averaged weights in the model when it ends


def _fit_from(
    position: Position, model: keras.Model, keeper: RunCheckpoint, config: TrainConfig, content: Manifest
) -> None:
    """Trains to the end of an epoch that is begun, or to the end of all."""
    tensorboard = keras.callbacks.TensorBoard(storage.join(config.run, runs.LOGS))
    tensorboard.async_safe = True  # else Keras would wait for each step's metrics, which it does not log
    model.fit(
        make_dataset(
            config.records,
            "train",
            batch_size=config.batch_size,
            training=True,
            cache=config.cache,
            seed=config.seed,
            first_epoch=position.epoch,
            first_batch=position.step,
            epochs=None,
        ),
        steps_per_epoch=steps_per_epoch(content, "train", config.batch_size) - position.step,
        initial_epoch=position.epoch,
        epochs=position.epoch + 1 if position.step else config.epochs,
        validation_data=validation_dataset(config, content),
        class_weight=class_weights(content) if config.class_weights else None,
        callbacks=[keeper, tensorboard],
        shuffle=False,  # the dataset does
        verbose=0,
    )


def validation_dataset(config: TrainConfig, content: Manifest) -> tf.data.Dataset:
    """`val`, weighed as the training is, or its loss would be that of the larger class."""
    dataset = make_dataset(
        config.records, "val", batch_size=config.batch_size, training=False, cache=config.cache
    )
    if not config.class_weights:
        return dataset
    weights = tf.constant([weight for _, weight in sorted(class_weights(content).items())])
    return dataset.map(lambda images, labels: (images, labels, tf.gather(weights, tf.cast(labels, tf.int32))))


def classifier_to_train(config: TrainConfig, image_size: int, chosen: Precision) -> keras.Model:
    """The classifier with freshly initialised weights, as fast to train as it can be.

    Args:
        config: of the training.
        image_size: side of the images, in pixels.
        chosen: precision.
    """
    return build_model(
        config.model, image_size, precision=chosen, seed=config.seed, normalization=FusedBatchNormalization
    )


def trainable(config: TrainConfig, classifier: keras.Model) -> keras.Model:
    """The classifier behind the augmentation, which runs on the training device, in validation too."""
    augmentation = AcquisitionAugmentation(config.augmentation, seed=config.seed, in_validation=True)
    return keras.Sequential([keras.Input(classifier.input_shape[1:]), augmentation, classifier])


def compile_model(
    model: keras.Model, config: TrainConfig, total_steps: int, *, scale_loss: bool = False
) -> None:
    """Gives the model its optimiser, loss and metrics.

    Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101), cosine decay after a linear
    warm-up (arXiv:1608.03983), and an exponential moving average of the weights.
    """
    warmup_steps = max(1, round(total_steps * config.warmup))
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, total_steps - warmup_steps),
        warmup_target=config.learning_rate,
        warmup_steps=warmup_steps,
    )
    optimizer = FusedAdamW(
        rate,
        weight_decay=config.weight_decay,
        use_ema=True,
        ema_momentum=min(config.ema, max(0.0, 1 - 10 / total_steps)),
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if scale_loss:  # float16 has too few exponents for small gradients
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(
        optimizer,
        loss=keras.losses.BinaryCrossentropy(),
        metrics=[
            keras.metrics.BinaryAccuracy(name="accuracy"),
            keras.metrics.Precision(name="precision"),
            keras.metrics.Recall(name="recall"),
            keras.metrics.AUC(num_thresholds=AUC_THRESHOLDS, name="auc"),
        ],
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
        auto_scale_loss=False,
    )


def class_weights(content: Manifest) -> dict[int, float]:
    """Weights with which both classes have the same sum, and all images the sum they have without."""
    classes = content.splits["train"].classes
    total = sum(classes.values())
    return {label: total / (len(CLASS_NAMES) * classes[name]) for label, name in enumerate(CLASS_NAMES)}


def check_both_classes(content: Manifest) -> None:
    """Refuses records with which nothing can be learnt or no threshold chosen.

    Raises:
        UserError: naming the class that is missing.
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


def _finish(config: TrainConfig) -> None:
    """Chooses the operating point with the best model, which makes the run a finished one."""
    model = storage.read_with(storage.join(config.run, runs.MODEL), keras.saving.load_model)
    images, labels = load_arrays(config.records, "val")
    probabilities = model.predict(np.asarray(images), batch_size=config.batch_size, verbose=0)[:, 0]
    point = operating_point.choose(np.asarray(labels), probabilities, config.target_sensitivity)
    storage.write(storage.join(config.run, operating_point.FILE_NAME), point.to_json())
    checkpoint.discard(config.run)
    logger.info(
        "threshold %.4f: sensitivity %.3f, specificity %.3f on val",
        point.threshold,
        point.sensitivity,
        point.specificity,
    )


def main(config: TrainConfig) -> None:
    """Trains and says where the run is."""
    train(config)
    print(config.run)  # noqa: T201


if __name__ == "__main__":
    run(main, TrainConfig, "python -m pipeline.train")
