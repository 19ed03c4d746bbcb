"""Trains the network of the lung finder with Keras."""

import logging

import keras
import numpy as np
from numpy.typing import NDArray

from tfrecords_builder.lungs.examples import Examples, change
from tfrecords_builder.lungs.network import build_network
from tfrecords_builder.lungs.settings import LungTrainConfig

logger = logging.getLogger(__name__)


def fit(examples: Examples, config: LungTrainConfig) -> keras.Model:
    """Trains a new network on examples that are changed anew in every epoch."""
    network = build_network(config.seed)
    batches = _Batches(examples, config)
    rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, len(batches) * config.epochs)
    network.compile(
        keras.optimizers.Adam(rate), keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False
    )
    network.fit(batches, epochs=config.epochs, callbacks=[_Log()], verbose=0, shuffle=False)
    return network


class _Batches(keras.utils.PyDataset):
    """Examples, changed anew in every epoch."""

    def __init__(self, examples: Examples, config: LungTrainConfig) -> None:
        super().__init__()
        self._examples = examples
        self._config = config
        self._epoch = 0
        self._order = self._draw_order()

    def __len__(self) -> int:
        return len(self._order) // self._config.batch_size or 1

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        chosen = self._order[index * self._config.batch_size :][: self._config.batch_size]
        generator = np.random.default_rng((self._config.seed, self._epoch, index))
        changed = [change(self._examples.images[i], self._examples.masks[i], generator) for i in chosen]
        images, masks = (np.stack(column)[..., None] for column in zip(*changed, strict=True))
        return images, masks

    def on_epoch_end(self) -> None:
        """Draws the order of the next epoch."""
        self._epoch += 1
        self._order = self._draw_order()

    def _draw_order(self) -> NDArray[np.int64]:
        generator = np.random.default_rng((self._config.seed, self._epoch))
        return generator.permutation(len(self._examples.images))


class _Log(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logger.info("epoch %d of %d: loss %.4f", epoch + 1, self.params["epochs"], (logs or {})["loss"])
