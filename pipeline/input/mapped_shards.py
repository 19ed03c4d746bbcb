"""Records of local shards, found once and then read at random from files mapped into memory.

A shard is a sequence of (length uint64, its CRC uint32, a serialized tf.train.Example, its CRC uint32), all
little-endian. An Example is a tree of length-delimited protobuf fields (one byte of tag, a varint of length,
the content), so that the image of a record lies somewhere in the file as it is: raw pixels, or an encoded
file. Finding it takes about 10 microseconds a record and touches two pages of it. The CRCs are not checked,
which would read everything: that is what `python -m tfrecords_builder.verify` does.
"""

import dataclasses
import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pipeline.input.hosts import ShardPart
from tfrecords_builder.errors import UserError

_LENGTH_BYTES, _CRC_BYTES = 8, 4
_KEY, _VALUE = 1, 2  # of the entry of a protobuf map
_BYTES_LIST, _INT64_LIST = 1, 3  # of a tf.train.Feature
_LENGTH_DELIMITED = 2

_JPEG_START = b"\xff\xd8"


@dataclasses.dataclass(frozen=True)
class MappedShards:
    """Where the image of each record is, and its label."""

    shards: tuple[memoryview, ...]
    shard: list[int]
    """The shard of each record, as a position in `shards`."""
    span: list[tuple[int, int]]
    """The first byte of its image, and the first one behind it."""
    labels: NDArray[np.float32]
    """(records,), 0 or 1."""

    def image(self, position: int) -> memoryview:
        """The bytes of a record's image."""
        start, end = self.span[position]
        return self.shards[self.shard[position]][start:end]

    def copy_pixels(self, positions: NDArray[np.int64], batch: NDArray[np.uint8]) -> None:
        """Copies the pixels of raw records at `positions` into a batch (len(positions), side, side, 1)."""
        # Through memoryviews: NumPy would let go of the interpreter's lock in each copy, at twice the time.
        target, record_bytes = batch.reshape(-1).data, batch[0].size
        for at, position in enumerate(positions.tolist()):
            target[at * record_bytes : (at + 1) * record_bytes] = self.image(position)

    def decode(self, positions: NDArray[np.int64], batch: NDArray[np.uint8]) -> None:
        """Decodes the JPEG or PNG records at `positions` into a batch (len(positions), side, side, 1).

        The decoders let go of the interpreter's lock, so that several batches are decoded at a time.

        Raises:
            ValueError: for an image that is damaged, or of another size.
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
                raise ValueError(f"record {position} is no image of {side} pixels a side ({error})") from None


def _decode_jpeg(encoded: memoryview, target: NDArray[np.uint8]) -> None:
    # The pixels are OpenCV's, but straight into the batch: OpenCV's copy of them costs 5 % of the rate.
    pixels = simplejpeg.decode_jpeg(encoded, "GRAY", buffer=target)
    if pixels.shape != target.shape:
        raise ValueError(f"{pixels.shape[1]}x{pixels.shape[0]} pixels")


def _decode_png(encoded: memoryview, target: NDArray[np.uint8]) -> None:
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if len(encoded) else None
    if pixels is None:
        raise ValueError("it cannot be decoded")
    if pixels.shape != target.shape[:2]:
        raise ValueError(f"{pixels.shape[1]}x{pixels.shape[0]} pixels")
    target[..., 0] = pixels


def map_shards(folder: str, parts: tuple[ShardPart, ...], raw_bytes: int | None) -> MappedShards:
    """Maps the shards of `parts` and finds their records.

    Args:
        folder: of the records.
        parts: which shards, and which of their records.
        raw_bytes: of the pixels of every raw record; None for encoded ones.

    Raises:
        UserError: if a shard holds something else; the message names it.
    """
    mapped, shard, span, labels = [], [], [], []
    for number, part in enumerate(parts):
        path = Path(folder) / part.shard
        view = np.memmap(path, np.uint8, "r").data
        mapped.append(view)
        try:
            found = list(_records(view, part.first_record + part.num_records, raw_bytes))[part.first_record :]
        except (ValueError, IndexError, struct.error) as error:
            raise UserError(
                f"{str(path)!r} is damaged ({error}): `python -m tfrecords_builder.verify {folder}` "
                "names all that is"
            ) from None
        shard += [number] * part.num_records
        span += [image for image, _ in found]
        labels += [label for _, label in found]
    return MappedShards(tuple(mapped), shard, span, np.array(labels, np.float32))


def _records(view: memoryview, count: int, raw_bytes: int | None) -> Iterator[tuple[tuple[int, int], int]]:
    """Where the image of each of the first `count` records begins and ends, and its label."""
    at = 0
    for _ in range(count):
        (length,) = struct.unpack_from("<Q", view, at)
        begin = at + _LENGTH_BYTES + _CRC_BYTES
        at = begin + length + _CRC_BYTES
        if at > len(view):
            raise ValueError(f"a record of {length} bytes ends after the file")
        image, label = _image_and_label(view, begin, begin + length)
        if raw_bytes is not None and image[1] - image[0] != raw_bytes:
            raise ValueError(f"{image[1] - image[0]} bytes of pixels, expected {raw_bytes}")
        yield image, label


def _image_and_label(view: memoryview, begin: int, end: int) -> tuple[tuple[int, int], int]:
    image = label = None
    for _, features, features_end in _fields(view, begin, end):
        for _, entry, entry_end in _fields(view, features, features_end):
            (_, key, key_end), (_, value, value_end) = _fields(view, entry, entry_end)
            name = bytes(view[key:key_end])
            if name == b"image":
                image = _only_value(view, value, value_end, _BYTES_LIST)
            elif name == b"label":
                label = view[_only_value(view, value, value_end, _INT64_LIST)[0]]
            if image is not None and label is not None:
                return image, label
    raise ValueError("a record without image or label")


def _only_value(view: memoryview, begin: int, end: int, kind: int) -> tuple[int, int]:
    """Where the value of a tf.train.Feature of one value of this kind begins and ends."""
    ((number, values, values_end),) = _fields(view, begin, end)
    if number != kind:
        raise ValueError(f"a feature of kind {number}, expected {kind}")
    ((_, value, value_end),) = _fields(view, values, values_end)
    return value, value_end


def _fields(view: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of the length-delimited fields of a protobuf message."""
    while at < end:
        tag = view[at]
        if tag & 7 != _LENGTH_DELIMITED:
            raise ValueError(f"no tf.train.Example at byte {at}")
        length, at = _varint(view, at + 1)
        if at + length > end:
            raise ValueError(f"a field of {length} bytes ends after its message, at byte {at}")
        yield tag >> 3, at, at + length
        at += length


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """A number in protobuf's encoding, 7 bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = view[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:  # noqa: PLR2004 - the highest bit says that another byte follows
            return value, at
