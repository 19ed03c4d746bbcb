"""The images of the measurements, given or synthetic, in every form that is compared."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.input.arrays import load_arrays
from tfrecords_builder import Preprocessing, manifest
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.manifest import Manifest, SplitContent
from tfrecords_builder.records import CLASS_NAMES, JPEG_QUALITY, Encoding, Record, shard_name
from tfrecords_builder.shards import write_shard

SHARDS = 16
ORIGINAL_SIZE = (950, 1300)  # height and width in pixels, the average of the public dataset
ORIGINAL_JPEG_QUALITY = 80
NOISE = 4.0  # standard deviation in gray levels


@dataclasses.dataclass(frozen=True)
class Samples:
    """The same images in memory and as records."""

    images: NDArray[np.uint8]
    """(images, side, side, 1)."""
    labels: NDArray[np.float32]
    """(images,), 0 or 1."""
    raw: str
    """Folder of raw records."""
    jpeg: str
    """Folder of JPEG records."""

    @property
    def side(self) -> int:
        """Side of the images, in pixels."""
        return self.images.shape[1]

    def shards(self, records: str) -> list[Path]:
        """The files of the folder `raw` or `jpeg`."""
        return [Path(records) / shard.name for shard in manifest.load(records).splits["train"].shards]


def from_records(records: str, folder: Path) -> Samples:
    """The split `train` of given records; what they lack is written to `folder`."""
    images, labels = load_arrays(records, "train")
    encoding = manifest.load(records).encoding
    raw = records if encoding == "raw" else write_records(folder / "raw", images, labels, "raw")
    jpeg = records if encoding == "jpeg" else write_records(folder / "jpeg", images, labels, "jpeg")
    return Samples(images, labels, raw, jpeg)


def synthetic(count: int, side: int, folder: Path) -> Samples:
    """Images of smooth noise, which compress about as well as X-rays; writes their records to `folder`."""
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
    """Writes a new folder of records with a split `train`; returns its path."""
    folder.mkdir(parents=True)
    shards = []
    for index in range(SHARDS):
        records = (
            _record(images[position], labels[position], position, encoding)
            for position in range(index, len(images), SHARDS)
        )
        shards.append(write_shard(str(folder), shard_name("train", index, SHARDS), records))
    classes = {name: int((labels == label).sum()) for label, name in enumerate(CLASS_NAMES)}
    split = SplitContent(tuple(shards), classes, patients=len(images))
    content = Manifest(Preprocessing(images.shape[1], 0.0), encoding, "benchmark", {}, {"train": split})
    (folder / manifest.FILE_NAME).write_text(content.to_json(), encoding="ascii")
    return str(folder)


def _record(image: NDArray[np.uint8], label: float, position: int, encoding: Encoding) -> Record:
    pixels = image.tobytes() if encoding == "raw" else _jpeg(image, JPEG_QUALITY)
    return Record(pixels, int(label), f"{position}", f"{position}", "", "0" * 64)


def _jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    return cv2.imencode(".jpeg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def encode_jpegs(images: Iterable[NDArray[np.uint8]]) -> list[bytes]:
    """The images encoded as the builder does with `--encoding jpeg`."""
    return [_jpeg(image, JPEG_QUALITY) for image in images]


def write_folders(samples: Samples, folder: Path, count: int, *, original_size: bool) -> str:
    """Writes the first images as JPEG files, in one folder per class.

    Args:
        samples: the images.
        folder: folder to write to.
        count: number of images.
        original_size: whether to enlarge them to the size of an original, and to add the noise that enlarged
            images lack.

    Returns:
        The path of the folder.
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
