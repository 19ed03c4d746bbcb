"""Describes the training images of a run, so that later images can be compared with them."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.dataset import make_dataset
from pipeline.model import has_lung_attention
from pipeline.suitability.features import Features, Network
from pipeline.suitability.reference import Reference, fit
from tfrecords_builder.records import Split

MAX_IMAGES = 20_000
"""So many images of a split are enough. Records are shuffled when they are built, so that the first are a
fair sample."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Described:
    features: Features
    labels: NDArray[np.float32]
    lung_areas: NDArray[np.float32]


def describe_training_images(model: keras.Model, records: str, batch_size: int) -> Reference:
    """Compares the training images with one another, and the validation images with them.

    Args:
        model: the finished classifier.
        records: folder of the records; a path or a URL.
        batch_size: images that the model computes at once. The result hardly depends on it.

    Raises:
        UserError: if a shard of the records is missing or damaged.
    """
    train, val = (_describe(model, records, split, batch_size) for split in ("train", "val"))
    lung_areas = val.lung_areas if has_lung_attention(model) else None
    return fit(train.features, train.labels, val.features, lung_areas)


def _describe(model: keras.Model, records: str, split: Split, batch_size: int) -> _Described:
    network = Network(model, model.outputs[0])
    compute = tf.function(network) if keras.backend.backend() == "tensorflow" else network
    batches = make_dataset(records, split, batch_size=batch_size, training=False, reader="streamed")
    rows = []
    for images, labels in batches.take(-(-MAX_IMAGES // batch_size)).as_numpy_iterator():
        _, features, lungs = compute(images)
        areas = np.zeros(len(labels)) if lungs is None else np.asarray(lungs).mean(axis=(1, 2, 3))
        rows.append((np.asarray(features.of_network), np.asarray(features.of_gradients), labels, areas))
    of_network, of_gradients, labels, areas = (np.concatenate(column) for column in zip(*rows, strict=True))
    return _Described(Features(of_network, of_gradients), labels, areas.astype(np.float32))
