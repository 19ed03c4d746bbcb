"""Whole splits: the images and labels of all records, and what else each record tells."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.input import lung_masks
from pipeline.input.examples import parse_batches, read_in_order, refusing_damage
from pipeline.input.images_on_disk import ImagesOnDisk
from pipeline.input.stored_split import StoredSplit, open_split
from tfrecords_builder.records import Split, columns_of, num_packed_bytes

_RECORDS_AT_ONCE = 256
IN_MEMORY = 256 << 20
"""Bytes of the images of a split that are kept in memory for an evaluation, at most: 256 MiB."""
_ORIGIN = ("source", "patient", "subtype")


Images = NDArray[np.uint8] | ImagesOnDisk
"""Images (n, side, side, 1), 0 to 255."""


@dataclasses.dataclass(frozen=True, eq=False)
class Masks:
    """Masks of n images, with a bit for each pixel, so that those of many images take little memory."""

    packed: NDArray[np.uint8]
    """Rows of packed bits, as of `numpy.packbits`, (n, bytes); zeros where unknown."""
    known: NDArray[np.bool_]
    """Whether an image has a mask, (n,)."""
    side: int
    """Side of the masks, in pixels."""

    @classmethod
    def pack(cls, masks: NDArray[np.bool_]) -> "Masks":
        """Packs masks (n, side, side); one that is false everywhere is unknown."""
        flat = masks.reshape(len(masks), -1)
        known = np.array([mask.any() for mask in flat], np.bool_)
        return cls(np.packbits(flat, axis=1), known, masks.shape[1])

    def __getitem__(self, rows: Any) -> NDArray[np.bool_]:
        """The masks of some images, (rows, side, side), false everywhere where unknown."""
        bits = np.unpackbits(self.packed[rows], axis=1, count=self.side**2)
        return bits.reshape(-1, self.side, self.side).view(np.bool_)

    def take(self, rows: NDArray[np.int64]) -> "Masks":
        """The masks of the images at these positions, still packed."""
        return Masks(self.packed[rows], self.known[rows], self.side)


@dataclasses.dataclass(frozen=True, eq=False)
class Details:
    """What the records of n images tell besides origin and label."""

    widths: NDArray[np.int64]
    """Width of each original image in pixels, (n,); 0 where the record does not tell it."""
    heights: NDArray[np.int64]
    """Its height, (n,); 0 where the record does not tell it."""
    columns: Mapping[str, tuple[str, ...]]
    """Cells of each column of a table that was kept, one for each image; empty where it had no text."""
    lesions: Masks | None
    """Masks of the boxes that a table names, true in lesions; None if there are none."""


def load_arrays(records: str, split: Split) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Loads a split in the order in which it is stored.

    Args:
        records: folder of the records; a path or a URL.
        split: `train`, `val` or `test`.

    Returns:
        image (records, side, side, 1), 0 to 255, and label (records,), which is 0 or 1.

    Raises:
        UserError: if the folder has no such records, or a shard is missing or damaged.
    """
    return read_arrays(open_split(records, split, batch_size=1))


def load_images(records: str, split: Split) -> tuple[Images, NDArray[np.float32]]:
    """Loads what `load_arrays` loads; the images of a split above IN_MEMORY are kept in a temporary file.

    Raises:
        UserError: if the folder has no such records, or a shard is missing or damaged.
        OSError: if there is no space for them.
    """
    stored = open_split(records, split, batch_size=1)
    if stored.share.num_records * stored.side**2 <= IN_MEMORY:
        return read_arrays(stored)
    images, labels = ImagesOnDisk(stored.side), []
    with refusing_damage(stored.folder):
        for some_images, some_labels in _read_batches(stored):
            images.append(some_images)
            labels.append(some_labels)
    return images, np.concatenate(labels)


def read_arrays(stored: StoredSplit) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Reads the records of this host into arrays of the shapes that `load_arrays` returns.

    Raises:
        UserError: if a shard is damaged.
    """
    num_records, side = stored.share.num_records, stored.side
    images, labels = np.empty((num_records, side, side, 1), np.uint8), np.empty(num_records, np.float32)
    filled = 0
    with refusing_damage(stored.folder):
        for some_images, some_labels in _read_batches(stored):
            end = filled + len(some_labels)
            images[filled:end], labels[filled:end] = some_images, some_labels
            filled = end
    return images, labels


def _read_batches(stored: StoredSplit) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    dataset = parse_batches(read_in_order(stored).batch(_RECORDS_AT_ONCE), stored)
    return dataset.as_numpy_iterator()


def read_lungs(stored: StoredSplit) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Reads the packed lung masks of the records of this host.

    Returns:
        packed uint8 (records, bytes) and known bool (records,), as `pipeline.input.lung_masks.unpack` takes
        them.

    Raises:
        UserError: if a shard is damaged.
    """
    features = {"lungs": tf.io.FixedLenFeature([], tf.string, default_value="")}

    def parse(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return lung_masks.from_features(tf.io.parse_example(batch, features)["lungs"], stored.side)

    num_records, filled = stored.share.num_records, 0
    packed = np.zeros((num_records, num_packed_bytes(stored.side)), np.uint8)
    known = np.zeros(num_records, np.bool_)
    batches = read_in_order(stored).batch(_RECORDS_AT_ONCE).map(parse)
    with refusing_damage(stored.folder):
        for some_packed, some_known in batches.as_numpy_iterator():
            end = filled + len(some_known)
            packed[filled:end], known[filled:end] = some_packed, some_known
            filled = end
    return packed, known


def load_lungs(records: str, split: Split) -> Masks:
    """Loads the lung masks of a split, in the order of `load_arrays`.

    Raises:
        UserError: if the folder has no such records, or a shard is missing or damaged.
    """
    stored = open_split(records, split, batch_size=1)
    return Masks(*read_lungs(stored), stored.side)


def load_labels(records: str, split: Split) -> NDArray[np.int64]:
    """Loads the labels of a split, 0 or 1, shape (records,), in the order of `load_arrays`.

    Raises:
        UserError: if the folder has no such records, or a shard is missing or damaged.
    """
    stored = open_split(records, split, batch_size=1)
    features = {"label": tf.io.FixedLenFeature([], tf.int64)}
    batches = read_in_order(stored).batch(_RECORDS_AT_ONCE)
    with refusing_damage(records):
        labels = [tf.io.parse_example(batch, features)["label"].numpy() for batch in batches]
    return np.concatenate(labels)


def load_origins(records: str, split: Split) -> list[dict[str, str]]:
    """Loads `source`, `patient` and `subtype` of every record of a split, in the order of `load_arrays`.

    Raises:
        UserError: if the folder has no such records, or a shard is missing or damaged.
    """
    stored = open_split(records, split, batch_size=1)
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in _ORIGIN}
    batches = read_in_order(stored).batch(_RECORDS_AT_ONCE)
    origins = []
    with refusing_damage(records):
        for batch in batches.map(lambda serialized: tf.io.parse_example(serialized, features)):
            columns = [
                [value.decode("utf-8", "replace") for value in batch[name].numpy()] for name in _ORIGIN
            ]
            origins += [dict(zip(_ORIGIN, row, strict=True)) for row in zip(*columns, strict=True)]
    return origins


def load_details(records: str, split: Split) -> Details:
    """Loads what the records tell besides origin and label, in the order of `load_arrays`.

    Raises:
        UserError: if the folder has no such records, or a shard is missing or damaged.
    """
    stored = open_split(records, split, batch_size=1)
    features = {name: tf.io.FixedLenFeature([], tf.int64, default_value=0) for name in ("width", "height")}
    features |= {
        name: tf.io.FixedLenFeature([], tf.string, default_value="") for name in ("columns", "lesions")
    }
    batches = read_in_order(stored).batch(_RECORDS_AT_ONCE)
    with refusing_damage(records):
        parsed = [tf.io.parse_example(batch, features) for batch in batches]
    cells = [columns_of(text) for batch in parsed for text in batch["columns"].numpy()]
    names = sorted({name for of_image in cells for name in of_image})
    lesions = tf.concat([batch["lesions"] for batch in parsed], axis=0)
    return Details(
        widths=np.concatenate([batch["width"].numpy() for batch in parsed]),
        heights=np.concatenate([batch["height"].numpy() for batch in parsed]),
        columns={name: tuple(of_image.get(name, "") for of_image in cells) for name in names},
        lesions=_masks_of(lesions, stored.side) if any(lesions.numpy()) else None,
    )


def _masks_of(feature: tf.Tensor, side: int) -> Masks:
    packed, known = lung_masks.from_features(feature, side)
    return Masks(packed.numpy(), known.numpy(), side)
