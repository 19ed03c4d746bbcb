"""What is measured on: given records or synthetic ones, in every form that is compared."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.input.arrays import load_arrays
from tfrecords_builder import Preprocessing, manifest
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.manifest import Manifest, Shard, SplitContent
from tfrecords_builder.records import CLASS_NAMES, JPEG_QUALITY, Encoding, Record, serialize, shard_name

SHARDS = 16
ORIGINAL_SIZE = (950, 1300)  # height and width in pixels, as X-rays of the public dataset are on average
ORIGINAL_JPEG_QUALITY = 80
NOISE = 4.0  # grey levels


@dataclasses.dataclass(frozen=True)
class Samples:
    """Images uint8 (n, side, side, 1), their labels float32 (n,), and the folders that hold them."""

    images: NDArray[np.uint8]
    labels: NDArray[np.float32]
    raw: str
    """Records."""
    jpeg: str
    """Records."""

    @property
    def side(self) -> int:
        """Of the images, in pixels."""
        return self.images.shape[1]

    def shards(self, records: str) -> list[Path]:
        """The files of one of the folders of records."""
        return [Path(records) / shard.name for shard in manifest.load(records).splits["train"].shards]


def from_records(records: str, folder: Path) -> Samples:
    """The `train` split of given records."""
    images, labels = (np.asarray(array) for array in load_arrays(records, "train"))
    encoding = manifest.load(records).encoding
    raw = records if encoding == "raw" else write_records(folder / "raw", images, labels, "raw")
    jpeg = records if encoding == "jpeg" else write_records(folder / "jpeg", images, labels, "jpeg")
    return Samples(images, labels, raw, jpeg)


def synthetic(count: int, side: int, folder: Path) -> Samples:
    """Smooth noise, which compresses about as X-rays do."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, count).astype(np.float32)
    images = np.stack([_smooth_noise(generator, (side, side)) for _ in range(count)])[..., None]
    raw, jpeg = (write_records(folder / name, images, labels, name) for name in ("raw", "jpeg"))
    return Samples(images, labels, raw, jpeg)


def _smooth_noise(generator: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    coarse = generator.integers(0, 256, (14, 14), dtype=np.uint8)
    smooth = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    return _with_noise(generator, smooth)


def _with_noise(generator: np.random.Generator, image: NDArray[Any]) -> NDArray[np.uint8]:
    noisy = image + NOISE * generator.standard_normal(image.shape, np.float32)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def write_records(
    folder: Path, images: NDArray[np.uint8], labels: NDArray[np.float32], encoding: Encoding
) -> str:
    """Writes a folder of records with a `train` split; returns it."""
    folder.mkdir(parents=True)
    shards = []
    for index in range(SHARDS):
        path = folder / shard_name("train", index, SHARDS)
        positions = range(index, len(images), SHARDS)
        with tf.io.TFRecordWriter(str(path)) as writer:
            for position in positions:
                writer.write(_record(images[position], labels[position], position, encoding))
        shards.append(Shard(path.name, len(positions), path.stat().st_size, ""))
    classes = {name: int((labels == label).sum()) for label, name in enumerate(CLASS_NAMES)}
    split = SplitContent(tuple(shards), classes, patients=len(images))
    content = Manifest(Preprocessing(images.shape[1], 0.0), encoding, "benchmark", {}, {"train": split})
    (folder / manifest.FILE_NAME).write_text(content.to_json(), encoding="ascii")
    return str(folder)


def _record(image: NDArray[np.uint8], label: float, position: int, encoding: Encoding) -> bytes:
    pixels = image.tobytes() if encoding == "raw" else _jpeg(image, JPEG_QUALITY)
    return serialize(Record(pixels, int(label), f"{position}", f"{position}", "", "0" * 64))


def _jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    return cv2.imencode(".jpeg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def jpegs(images: Iterable[NDArray[np.uint8]]) -> list[bytes]:
    """The images as the builder stores them with `--encoding jpeg`."""
    return [_jpeg(image, JPEG_QUALITY) for image in images]


def write_folders(samples: Samples, folder: Path, count: int, *, original_size: bool) -> str:
    """Writes the first images as JPEG files, one folder a class; returns the folder.

    Args:
        samples: where the images come from.
        folder: to write to.
        count: how many.
        original_size: enlarged to the size of an original, with a little noise, which the enlarging lacks.
    """
    generator = np.random.default_rng(0)
    for name in CLASS_NAMES:
        (folder / name).mkdir(parents=True)
    for position in progress(range(count), count, f"writing {folder.name}"):
        image, quality = samples.images[position, ..., 0], JPEG_QUALITY
        if original_size:
            large = cv2.resize(image, ORIGINAL_SIZE[::-1], interpolation=cv2.INTER_CUBIC)
            image, quality = _with_noise(generator, large), ORIGINAL_JPEG_QUALITY
        path = folder / CLASS_NAMES[int(samples.labels[position])] / f"{position}.jpeg"
        path.write_bytes(_jpeg(image, quality))
    return str(folder)
