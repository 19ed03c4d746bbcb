"""Small records and a small finished run, made once."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from pipeline.model import ModelConfig
from pipeline.train import TrainConfig, train
from tfrecords_builder import Preprocessing
from tfrecords_builder.manifest import Manifest, Shard, SplitContent
from tfrecords_builder.records import CLASS_NAMES, Record, serialize, shard_name

SIDE = 32


def bright_spots(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise uint8 (count, SIDE, SIDE, 1); those labelled 1 have a bright spot in the middle half."""
    generator = np.random.default_rng(seed)
    images = generator.integers(20, 110, (count, SIDE, SIDE, 1), dtype=np.uint8)
    labels = np.arange(count) % 2
    for image in images[labels == 1]:
        row, column = generator.integers(SIDE // 4, SIDE // 2, 2)
        image[row : row + SIDE // 4, column : column + SIDE // 4] += 120
    return images, labels


RecordsWriter = Callable[..., str]


@pytest.fixture(scope="session")
def write_records(tmp_path_factory) -> RecordsWriter:
    """Writes real shards of given counts; returns the folder."""

    def write(counts: dict[str, int], shards: int = 3, encoding: str = "raw", border: float = 0.1) -> str:
        folder = tmp_path_factory.mktemp("records")
        splits = {}
        for seed, (split, count) in enumerate(counts.items()):
            images, labels = bright_spots(count, seed)
            written = []
            for index in range(shards):
                path = folder / shard_name(split, index, shards)
                positions = range(index, count, shards)
                with tf.io.TFRecordWriter(str(path)) as writer:
                    for position in positions:
                        writer.write(_record(images, labels, split, position, encoding))
                written.append(Shard(path.name, len(positions), path.stat().st_size, ""))
            classes = {name: int((labels == label).sum()) for label, name in enumerate(CLASS_NAMES)}
            splits[split] = SplitContent(tuple(written), classes, patients=count)
        content = Manifest(Preprocessing(SIDE, border), encoding, "test", {}, splits)
        (folder / "dataset.json").write_text(content.to_json())
        return str(folder)

    return write


def _record(images, labels, split, position, encoding) -> bytes:
    image = images[position]
    pixels = image.tobytes() if encoding == "raw" else tf.io.encode_png(image).numpy()
    return serialize(
        Record(
            image=pixels,
            label=int(labels[position]),
            patient=f"patient{position}",
            source=f"{split}/{position}.png",
            subtype="virus" if labels[position] else "",
            sha256=f"{position:064x}",
        )
    )


@pytest.fixture(scope="session")
def records(write_records) -> str:
    """Records of all three splits, easy to learn."""
    return write_records({"train": 96, "val": 40, "test": 40})


def quick_training(records: str, run: str, **settings) -> TrainConfig:
    """A training of seconds that learns the bright spots."""
    defaults = {
        "epochs": 6,
        "batch_size": 16,
        "learning_rate": 1e-2,
        "ema": 0.8,
        "precision": "float32",
        "model": ModelConfig(filters=(4, 8), dense_units=(8,), dropout=0.0),
    }
    return TrainConfig(records=records, run=run, **defaults | settings)


@pytest.fixture(scope="session")
def finished_run(records, tmp_path_factory) -> str:
    """A run folder whose model has learnt the bright spots."""
    run = str(tmp_path_factory.mktemp("runs") / "run")
    train(quick_training(records, run))
    return run


@pytest.fixture
def images() -> np.ndarray:
    """uint8 (12, SIDE, SIDE, 1), every other one with a bright spot."""
    return bright_spots(12, seed=99)[0]
