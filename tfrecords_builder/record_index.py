"""The index of a shard: where the image of each record lies in it, and its label.

A training that fetches records in any order would otherwise have to read a shard from its beginning to find
them. The index of `train-00000-of-00016.tfrecord` is `train-00000-of-00016.index`: 16 bytes a record, in
their order, little-endian:

| bytes | meaning                                                                             |
| ----- | ----------------------------------------------------------------------------------- |
| 8     | position of the image's first byte in the shard, times 2, plus the label            |
| 4     | bytes of the image                                                                  |
| 4     | bytes from the end of the image to the lung mask, plus 1; 0 if the record has none  |

A shard is a sequence of records (`tfrecords_builder/tfrecord.py`). Their examples hold the image and the
mask as they are.
"""

import struct
from typing import NamedTuple

from tfrecords_builder.records import Record
from tfrecords_builder.tfrecord import BYTES_AFTER, BYTES_BEFORE

ENTRY_BYTES = 16
_ENTRY = struct.Struct("<QII")


class PlacedExample(NamedTuple):
    """The example of a record, and where its image and lung mask lie in it."""

    example: bytes
    label: int
    image: int
    """Position of the image's first byte in the example."""
    image_bytes: int
    lungs: int | None
    """Position of the lung mask's first byte; None if there is none."""


def place(example: bytes, record: Record) -> PlacedExample:
    """Finds image and lung mask in an example, as bytes: protobuf does not tell where they are.

    Args:
        example: what `records.serialize` returned for the record.
        record: the record.
    """
    image = example.index(record.image)
    after = image + len(record.image)  # features are sorted by name
    lungs = example.index(record.lungs, after) if record.lungs else None
    return PlacedExample(example, record.label, image, len(record.image), lungs)


def file_name(shard: str) -> str:
    """The name of the index of a shard."""
    return f"{shard.removesuffix('.tfrecord')}.index"


def image_of(entry: bytes | memoryview) -> tuple[int, int]:
    """Where the image of an entry begins in the shard, and its bytes."""
    position_and_label, image_bytes, _ = _ENTRY.unpack(entry)
    return position_and_label >> 1, image_bytes


class IndexBuilder:
    """Makes the index of a shard while its examples are written one after the other."""

    def __init__(self) -> None:
        self._entries = bytearray()
        self._end = 0  # of the records so far, in the shard

    def add(self, placed: PlacedExample) -> None:
        """Adds the next example."""
        image = self._end + BYTES_BEFORE + placed.image
        to_lungs = 0 if placed.lungs is None else placed.lungs - placed.image - placed.image_bytes + 1
        self._entries += _ENTRY.pack(2 * image + placed.label, placed.image_bytes, to_lungs)
        self._end += BYTES_BEFORE + len(placed.example) + BYTES_AFTER

    @property
    def encoded(self) -> bytes:
        """The index of the examples so far."""
        return bytes(self._entries)

    @property
    def num_records(self) -> int:
        """The number of examples so far."""
        return len(self._entries) // ENTRY_BYTES
