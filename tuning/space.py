"""The search space: the architectures and learning rates that a search chooses from."""

import dataclasses
import logging
import math
from typing import Any

import keras
import keras_tuner

from pipeline.input.examples import refusing_damage
from pipeline.training.recipe import MONITOR, add_augmentation, build_classifier, compile_model
from pipeline.training.settings import ModelConfig, Precision, TrainConfig

logger = logging.getLogger(__name__)


class SearchSpace(keras_tuner.HyperModel):
    """The choices of blocks, filters, convolutions, dense units, dropout and learning rate.

    Args:
        base: the settings that are not searched.
        precision: the precision of the computation in all models.
        image_size: side of the images, in pixels.
        steps_per_epoch: training steps of one epoch.
        trial_epochs: epochs of the longest trial.
    """

    def __init__(
        self,
        base: TrainConfig,
        precision: Precision,
        image_size: int,
        *,
        steps_per_epoch: int,
        trial_epochs: int,
    ) -> None:
        super().__init__(name="pneumonia_cnn")
        self.base = base
        self.precision = precision
        self.image_size = image_size
        self.steps_per_epoch = steps_per_epoch
        self.trial_epochs = trial_epochs

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Builds the compiled model of a choice, with augmentation in front."""
        config = self.training_config(hp)
        classifier = build_classifier(config, self.image_size, self.precision)
        model = add_augmentation(config, classifier)
        epochs = hp.values.get("tuner/epochs", self.trial_epochs)  # Hyperband's trials differ in length
        compile_model(model, config, self.steps_per_epoch * epochs, self.precision)
        return model

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """Trains the model of a choice; the moving average of its weights is validated.

        KerasTuner calls this method for each trial. The one of the base class would only call `model.fit`:
        it would validate the last weights, and it would not end a trial whose loss became NaN.

        Returns:
            The Keras history of the training.

        Raises:
            keras_tuner.errors.FailedTrialError: if the loss becomes NaN.
            UserError: if a shard of the records is damaged.
        """
        config = self.training_config(hp)
        logger.info(
            "trial: %s, learning rate %.2g; %s weights",
            in_words(config.model),
            config.learning_rate,
            f"{model.count_params():,}",
        )
        callbacks = [keras.callbacks.SwapEMAWeights(), _EndAtNaN(), *kwargs.pop("callbacks", ())]
        with refusing_damage(self.base.records):
            history = model.fit(*args, callbacks=callbacks, **kwargs)
        logger.info("trial ended: best %s %.4f", MONITOR, min(history.history[MONITOR]))
        return history

    def training_config(self, hp: keras_tuner.HyperParameters) -> TrainConfig:
        """The settings of the training that a choice stands for."""
        blocks = hp.Int("blocks", 3, 5)
        first_filters = hp.Choice("first_filters", [8, 16, 24, 32])
        growth = hp.Choice("growth", [1.5, 2.0])
        dense_units = hp.Choice("dense_units", [0, 32, 64, 128])
        model = ModelConfig(
            filters=tuple(round(first_filters * growth**block) for block in range(blocks)),
            convolutions=hp.Int("convolutions", 1, 2),
            dense_units=(dense_units,) if dense_units else (),
            dropout=hp.Choice("dropout", [0.0, 0.2, 0.4]),
            standardize=self.base.model.standardize,
            attention=self.base.model.attention,
        )
        rate = hp.Float("learning_rate", 5e-4, 8e-3, sampling="log")
        return dataclasses.replace(self.base, model=model, learning_rate=rate)


def in_words(model: ModelConfig) -> str:
    """Describes what the search chose of a model, for the log."""
    filters = ", ".join(map(str, model.filters))
    units = ", ".join(map(str, model.dense_units))
    dense = f"dense layer of {units} units" if units else "no dense layer"
    plural = "s" if model.convolutions > 1 else ""
    return (
        f"{len(model.filters)} blocks of {filters} filters, {model.convolutions} convolution{plural} each, "
        f"{dense}, dropout {model.dropout:g}"
    )


class _EndAtNaN(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if not all(math.isfinite((logs or {})[name]) for name in ("loss", MONITOR)):
            raise keras_tuner.errors.FailedTrialError(f"the loss became NaN in epoch {epoch + 1}")
