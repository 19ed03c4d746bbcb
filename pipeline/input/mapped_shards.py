"""Local shards as files mapped into memory, from which the images of any records are copied or decoded."""

import dataclasses
import struct
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pipeline.input import lung_masks
from pipeline.input.hosts import ShardPart
from pipeline.input.record_locations import locate_records
from tfrecords_builder.errors import UserError
from tfrecords_builder.records import num_packed_bytes

_JPEG_START = b"\xff\xd8"


@dataclasses.dataclass(frozen=True)
class MappedShards:
    """The files, where the image of each record lies in them, and its label."""

    shards: tuple[memoryview, ...]
    shard_of_record: list[int]
    """For each record, the position of its shard in `shards`."""
    image_of_record: list[tuple[int, int]]
    """For each record, the positions in its shard of the image's first byte and of the first one after it."""
    lungs_of_record: list[tuple[int, int]]
    """The same positions of the packed lung mask; both are equal if there is none."""
    labels: NDArray[np.float32]
    """(records,), 0 or 1."""

    def image(self, position: int) -> memoryview:
        """The bytes of a record's image."""
        begin, end = self.image_of_record[position]
        return self.shards[self.shard_of_record[position]][begin:end]

    def copy_pixels(self, positions: NDArray[np.int64], batch: NDArray[np.uint8]) -> None:
        """Copies the pixels of raw records at `positions` into a batch (len(positions), side, side, 1)."""
        # Through memoryviews: NumPy releases the interpreter's lock for each copy, at twice the time.
        target, image_bytes = batch.reshape(-1).data, batch[0].size
        for index, position in enumerate(positions.tolist()):
            target[index * image_bytes : (index + 1) * image_bytes] = self.image(position)

    def copy_lungs(
        self, positions: NDArray[np.int64], side: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Copies the packed lung masks of the records at `positions`, for `pipeline.input.lung_masks.unpack`.

        Raises:
            ValueError: if a mask has another size.
        """
        packed = np.zeros((len(positions), num_packed_bytes(side)), np.uint8)
        known = np.zeros(len(positions), np.bool_)
        for row, position in enumerate(positions.tolist()):
            begin, end = self.lungs_of_record[position]
            known[row] = lung_masks.fill(packed[row], self.shards[self.shard_of_record[position]][begin:end])
        return packed, known

    def decode(self, positions: NDArray[np.int64], batch: NDArray[np.uint8]) -> None:
        """Decodes the JPEG or PNG records at `positions` into a batch (len(positions), side, side, 1).

        The decoders release the interpreter's lock, so that several batches can be decoded at the same time.
        They start no threads of their own.

        Raises:
            ValueError: for an image that is damaged or has another size.
        """
        for target, position in zip(batch, positions.tolist(), strict=True):
            encoded = self.image(position)
            try:
                if encoded[: len(_JPEG_START)] == _JPEG_START:
                    _decode_jpeg(encoded, target)
                else:
                    _decode_png(encoded, target)
            except ValueError as error:
                side = target.shape[0]
                raise ValueError(f"record {position} is no image of {side}x{side} pixels ({error})") from None


def _decode_jpeg(encoded: memoryview, target: NDArray[np.uint8]) -> None:
    # The same pixels as OpenCV's, decoded into the batch; OpenCV would need a copy.
    pixels = simplejpeg.decode_jpeg(encoded, "GRAY", buffer=target)
    if pixels.shape != target.shape:
        raise ValueError(f"it has {pixels.shape[1]}x{pixels.shape[0]} pixels")


def _decode_png(encoded: memoryview, target: NDArray[np.uint8]) -> None:
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if len(encoded) else None
    if pixels is None:
        raise ValueError("it cannot be decoded")
    if pixels.shape != target.shape[:2]:
        raise ValueError(f"it has {pixels.shape[1]}x{pixels.shape[0]} pixels")
    target[..., 0] = pixels


def map_shards(folder: str, parts: tuple[ShardPart, ...], image_bytes: int | None) -> MappedShards:
    """Maps shards into memory and finds their records.

    Args:
        folder: local folder of the records.
        parts: the shards, and which of their records.
        image_bytes: bytes of every raw image; None if the images are encoded.

    Raises:
        UserError: if a shard is damaged; the message names it.
    """
    shards, shard_of_record, image_of_record, lungs_of_record, labels = [], [], [], [], []
    for number, part in enumerate(parts):
        path = Path(folder) / part.shard
        shard = np.memmap(path, np.uint8, "r").data
        shards.append(shard)
        try:
            located = list(locate_records(shard, part.first_record + part.num_records, image_bytes))
        except (ValueError, IndexError, struct.error) as error:
            raise UserError(
                f"{str(path)!r} is damaged ({error}): `python -m tfrecords_builder.verify {folder}` "
                "names every damaged shard"
            ) from None
        for image, label, lungs in located[part.first_record :]:
            shard_of_record.append(number)
            image_of_record.append(image)
            lungs_of_record.append(lungs)
            labels.append(label)
    return MappedShards(
        tuple(shards), shard_of_record, image_of_record, lungs_of_record, np.array(labels, np.float32)
    )
