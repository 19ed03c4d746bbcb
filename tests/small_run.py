"""Records and a training for tests: bright spots in noise, which a small network learns in seconds."""

import dataclasses
from pathlib import Path

import numpy as np

from pipeline.training.settings import ModelConfig, TrainConfig
from tfrecords_builder import Preprocessing
from tfrecords_builder.manifest import Manifest, SplitContent
from tfrecords_builder.records import CLASS_NAMES, Record, pack_mask, shard_name

SIDE = 32


class Killed(BaseException):
    """Stands for the end of a process that was killed."""


def bright_spots(
    count: int, seed: int, side: int = SIDE, *, spots: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Noise uint8 (count, side, side, 1); those labeled 1 have a bright spot in the middle half."""
    generator = np.random.default_rng(seed)
    images = generator.integers(20, 110, (count, side, side, 1), dtype=np.uint8)
    labels = np.arange(count) % 2
    for position in np.flatnonzero(labels) if spots else ():
        row, column = generator.integers(side // 4, side // 2, 2)
        images[position, row : row + side // 4, column : column + side // 4] += 120
    return images, labels


def middle(side: int = SIDE) -> np.ndarray:
    """The lung mask of every image of bright spots: the middle, in which all spots lie."""
    mask = np.zeros((side, side), bool)
    mask[side // 8 : side - side // 8, side // 8 : side - side // 8] = True
    return mask


def write_records(
    folder: Path,
    counts: dict[str, int],
    *,
    shards: int = 3,
    encoding: str = "raw",
    border: float = 0.1,
    side: int = SIDE,
    lungs: bool = True,
    spots: bool = True,
) -> str:
    """Writes records in real shards.

    Args:
        folder: the folder to write to.
        counts: number of records of each split; every other one is labeled 1.
        shards: number of shards of each split.
        encoding: `raw`, `jpeg` or `png`.
        border: border fraction that `dataset.json` names.
        side: side of the images, in pixels.
        lungs: whether the records have lung masks.
        spots: whether images labeled 1 have a bright spot; otherwise nothing tells the classes.

    Returns:
        The folder.
    """
    from tfrecords_builder.shards import write_shard

    splits = {}
    for seed, (split, count) in enumerate(counts.items()):
        images, labels = bright_spots(count, seed, side, spots=spots)
        written = []
        for index in range(shards):
            records = [
                _record(images, labels, split, position, encoding) for position in range(index, count, shards)
            ]
            if lungs:
                mask = pack_mask(middle(side))
                records = [dataclasses.replace(record, lungs=mask) for record in records]
            written.append(write_shard(str(folder), shard_name(split, index, shards), records))
        classes = {name: int((labels == label).sum()) for label, name in enumerate(CLASS_NAMES)}
        splits[split] = SplitContent(tuple(written), classes, count, lungs=count if lungs else 0)
    content = Manifest(Preprocessing(side, border), encoding, "test", {}, splits)
    (folder / "dataset.json").write_text(content.to_json())
    return str(folder)


def shorten_warm_up(version: Path) -> None:
    """Leaves one warm-up request in an exported version: a prediction from one preprocessed image."""
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    from serving.names import EXTRA_ASSETS, PIXELS_SIGNATURE, WARMUP_FILE

    path = str(version / EXTRA_ASSETS / WARMUP_FILE)
    for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        if request.model_spec.signature_name == PIXELS_SIGNATURE:
            break
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(record)


def _record(images, labels, split, position, encoding) -> Record:
    import tensorflow as tf

    image = images[position]
    encoders = {"png": tf.io.encode_png, "jpeg": tf.io.encode_jpeg}
    pixels = image.tobytes() if encoding == "raw" else encoders[encoding](image).numpy()
    return Record(
        image=pixels,
        label=int(labels[position]),
        patient=f"patient{position}",
        source=f"{split}/{position}.png",
        subtype="virus" if labels[position] else "",
        sha256=f"{position:064x}",
    )


def quick_training(records: str, run: str, **settings) -> TrainConfig:
    """The settings of a training that learns the bright spots in seconds."""
    defaults = {
        "epochs": 6,
        "batch_size": 16,
        "learning_rate": 1e-2,
        "ema": 0.8,
        "precision": "float32",
        "model": ModelConfig(filters=(4, 8), convolutions=1, dense_units=(8,), dropout=0.2),
    }
    return TrainConfig(records=records, run=run, **defaults | settings)
