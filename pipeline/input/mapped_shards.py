"""Local shards as files mapped into memory, from which the images of any records are copied or decoded."""

import dataclasses
import functools
import logging
from collections.abc import Iterator

import cv2
import numpy as np
import simplejpeg
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.input.stored_split import StoredSplit
from tfrecords_builder import record_index, shards
from tfrecords_builder.errors import UserError
from tfrecords_builder.manifest import Shard
from tfrecords_builder.record_index import ENTRY_BYTES
from tfrecords_builder.records import num_packed_bytes

_JPEG_START = b"\xff\xd8"
_TAG = b"\x0a"  # of the only field of a tf.train.BytesList
_LOW = (1 << 32) - 1

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Places:
    """Where the images and lung masks of some records are."""

    positions: list[int]
    """The positions of the records in the split."""
    shards: list[memoryview]
    """The shard of each record."""
    begins: NDArray[np.int64]
    """Position of the image's first byte in its shard, (records,)."""
    ends: NDArray[np.int64]
    """Position of the first byte after it."""
    lungs: NDArray[np.int64]
    """Position of the first byte of the lung mask; 0 if there is none."""
    labels: NDArray[np.float32]
    """0 or 1."""

    def images(self) -> list[memoryview]:
        """The bytes of the images."""
        bounds = zip(self.shards, self.begins.tolist(), self.ends.tolist(), strict=True)
        return [shard[begin:end] for shard, begin, end in bounds]

    def masks(self, mask_bytes: int) -> Iterator[memoryview]:
        """The bytes of the lung masks, empty where there are none.

        Args:
            mask_bytes: how many each mask has.

        Raises:
            ValueError: if there is no mask of this size.
        """
        for position, shard, begin in zip(self.positions, self.shards, self.lungs.tolist(), strict=True):
            if begin and not _has_bytes(shard, begin, mask_bytes):
                raise ValueError(f"record {position} has no lung mask of {mask_bytes} bytes")
            yield shard[begin : begin + mask_bytes] if begin else shard[:0]


class MappedShards:
    """The shards that hold the records of this host, and their indexes, mapped into memory.

    Args:
        mapped: the shards.
        indexes: of each shard the index, as bytes.
        first_records: of each shard the first record that this host reads.
        num_records: of each shard how many records it reads.
    """

    def __init__(
        self,
        mapped: list[memoryview],
        indexes: list[memoryview],
        first_records: list[int],
        num_records: list[int],
    ) -> None:
        self._shards = mapped
        self._indexes = indexes
        self._ends = np.cumsum(num_records)
        self._to_number_in_shard = np.array(first_records) - (self._ends - num_records)

    def locate(self, positions: NDArray[np.int64]) -> Places:
        """Looks up records in the indexes.

        Args:
            positions: their positions among the records of this host, (records,).
        """
        parts = np.searchsorted(self._ends, positions, side="right")
        entries_begin = ENTRY_BYTES * (positions + self._to_number_in_shard[parts])
        parts_list = parts.tolist()
        entries = b"".join(
            [
                self._indexes[part][begin : begin + ENTRY_BYTES]
                for part, begin in zip(parts_list, entries_begin.tolist(), strict=True)
            ]
        )
        firsts, seconds = np.frombuffer(entries, np.int64).reshape(-1, 2).T
        begins, to_lungs = firsts >> 1, seconds >> 32
        ends = begins + (seconds & _LOW)
        return Places(
            positions.tolist(),
            [self._shards[part] for part in parts_list],
            begins,
            ends,
            np.where(to_lungs, ends + to_lungs - 1, 0),
            (firsts & 1).astype(np.float32),
        )


def copy_pixels(places: Places, batch: NDArray[np.uint8]) -> None:
    """Copies the pixels of raw records into a batch (records, side, side, 1).

    Raises:
        ValueError: if an image has another size.
    """
    # Through memoryviews: NumPy releases the interpreter's lock for each copy, at twice the time.
    target, image_bytes = batch.reshape(-1).data, batch[0].size
    if (places.ends - places.begins != image_bytes).any():
        raise ValueError(f"not all images of records {places.positions} have {image_bytes} bytes")
    for number, image in enumerate(places.images()):
        target[number * image_bytes : (number + 1) * image_bytes] = image


def decode(places: Places, batch: NDArray[np.uint8]) -> None:
    """Decodes JPEG or PNG records into a batch (records, side, side, 1).

    The decoders release the interpreter's lock, so that several batches can be decoded at the same time. They
    start no threads of their own.

    Raises:
        ValueError: for an image that is damaged or has another size.
    """
    for target, position, encoded in zip(batch, places.positions, places.images(), strict=True):
        try:
            if encoded[: len(_JPEG_START)] == _JPEG_START:
                _decode_jpeg(encoded, target)
            else:
                _decode_png(encoded, target)
        except ValueError as error:
            side = target.shape[0]
            raise ValueError(f"record {position} is no image of {side}x{side} pixels ({error})") from None


def copy_lungs(places: Places, side: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Copies packed lung masks, for `pipeline.input.lung_masks.unpack`.

    Raises:
        ValueError: if a mask has another size.
    """
    mask_bytes = num_packed_bytes(side)
    packed = np.zeros((len(places.shards), mask_bytes), np.uint8)
    known = np.zeros(len(places.shards), np.bool_)
    for row, mask in enumerate(places.masks(mask_bytes)):
        known[row] = bool(mask)
        if mask:
            packed[row] = np.frombuffer(mask, np.uint8)
    return packed, known


def _has_bytes(shard: memoryview, begin: int, count: int) -> bool:
    """Whether so many bytes begin there: protobuf writes their number before them."""
    before = _written_before(count)
    return shard[begin - len(before) : begin] == before


@functools.lru_cache(maxsize=1 << 16)
def _written_before(count: int) -> bytes:
    """The tag of the field, and the number of bytes with 7 bits in each byte, the lowest first."""
    number = bytearray()
    while count > 127:  # noqa: PLR2004 - a higher bit says that another byte follows
        number.append(count & 127 | 128)
        count >>= 7
    return _TAG + bytes([*number, count])


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


def map_shards(stored: StoredSplit) -> MappedShards:
    """Maps the shards of a split, and their indexes, into memory.

    Raises:
        UserError: if an index is missing or is not that of its shard; the message names it.
    """
    described = {shard.name: shard for shard in stored.content.splits[stored.share.split].shards}
    parts = stored.share.parts
    mapped = [np.memmap(stored.path(part.shard), np.uint8, "r").data for part in parts]
    indexes = [_open_index(stored, described[part.shard]) for part in parts]
    for part, shard, index in zip(parts, mapped, indexes, strict=True):
        reason = _mismatch(shard, index, described[part.shard].records)
        if reason:
            raise _damaged(stored, part.shard, reason)
    return MappedShards(
        mapped, indexes, [part.first_record for part in parts], [part.num_records for part in parts]
    )


def _open_index(stored: StoredSplit, shard: Shard) -> memoryview:
    if shard.index_sha256 is None:
        return _make_index(stored, shard.name)
    path = stored.path(record_index.file_name(shard.name))
    try:
        return np.memmap(path, np.uint8, "r").data
    except (OSError, ValueError) as error:  # it is missing; it is empty
        raise UserError(f"{path!r} cannot be read ({error}): build the records again") from None


def _mismatch(shard: memoryview, index: memoryview, num_records: int) -> str | None:
    """Why an index is not that of a shard, by its size and its first and last record; None if they agree."""
    if len(index) != ENTRY_BYTES * num_records:
        return f"its index has {len(index)} bytes, but {num_records} records take {ENTRY_BYTES * num_records}"
    for entry in (index[:ENTRY_BYTES], index[-ENTRY_BYTES:]):
        if not _has_bytes(shard, *record_index.image_of(entry)):
            return "it has no image where its index says"
    return None


def _make_index(stored: StoredSplit, shard: str) -> memoryview:
    """Makes the index of a shard that an earlier version wrote, in memory."""
    path = stored.path(shard)
    logger.info("%s has no index and is read whole: records that are built anew have one", path)
    try:
        return memoryview(shards.make_index(path))
    except (ValueError, tf.errors.OpError) as error:
        raise _damaged(stored, shard, error) from None


def _damaged(stored: StoredSplit, shard: str, reason: object) -> UserError:
    return UserError(
        f"{stored.path(shard)!r} is damaged ({reason}): `python -m tfrecords_builder.verify {stored.folder}` "
        "names every damaged shard"
    )
