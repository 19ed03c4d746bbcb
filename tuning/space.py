"""The architectures and training settings that a search chooses from."""

import dataclasses
import logging
from typing import Any

import keras
import keras_tuner

from pipeline.train import MONITOR, classifier_to_train, compile_model, trainable
from pipeline.training.settings import ModelConfig, Precision, TrainConfig

logger = logging.getLogger(__name__)


class SearchSpace(keras_tuner.HyperModel):
    """Depth, width, convolutions a block, dense layers, dropout and learning rate of the from-scratch CNN.

    Args:
        base: everything that is not searched.
        precision: of the models.
        image_size: side of the images, in pixels.
        steps_per_epoch: of a trial, for the schedule of the learning rate.
        trial_epochs: of the longest trial, for the same.
    """

    def __init__(
        self,
        base: TrainConfig,
        precision: Precision,
        image_size: int,
        steps_per_epoch: int,
        *,
        trial_epochs: int,
    ) -> None:
        super().__init__(name="pneumonia_cnn")
        self.base = base
        self.precision = precision
        self.image_size = image_size
        self.steps_per_epoch = steps_per_epoch
        self.trial_epochs = trial_epochs

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The compiled model, augmentation in front, of one choice."""
        config = self.chosen(hp)
        model = trainable(config, classifier_to_train(config, self.image_size, self.precision))
        epochs = hp.values.get("tuner/epochs", self.trial_epochs)  # Hyperband's trials differ in length
        scale_loss = self.precision == "mixed_float16"
        compile_model(model, config, self.steps_per_epoch * epochs, scale_loss=scale_loss)
        return model

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """Trains one choice; the moving average of its weights is what is validated."""
        callbacks = [keras.callbacks.SwapEMAWeights(), *kwargs.pop("callbacks", ())]
        logger.info("trial: %s, %d weights", self._described(hp), model.count_params())
        history = model.fit(*args, callbacks=callbacks, **kwargs)
        logger.info("       %s %.4f", MONITOR, min(history.history[MONITOR]))
        return history

    def _described(self, hp: keras_tuner.HyperParameters) -> str:
        config = self.chosen(hp)
        return f"{config.model}, learning rate {config.learning_rate:.2g}"

    def chosen(self, hp: keras_tuner.HyperParameters) -> TrainConfig:
        """The training configuration that a choice stands for."""
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
        )
        rate = hp.Float("learning_rate", 5e-4, 8e-3, sampling="log")
        return dataclasses.replace(self.base, model=model, learning_rate=rate)
