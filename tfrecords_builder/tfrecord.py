"""Writes TFRecords without TensorFlow, which takes seconds and 700 MiB to load.

A file of TFRecords is a sequence of records: the number of bytes of the data in 8 bytes and its CRC in 4, the
data, and the CRC of the data in 4, all little-endian
(https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details). The data is a
`tf.train.Example`, which is a protobuf message (https://protobuf.dev/programming-guides/encoding/).
"""

import struct
from collections.abc import Mapping

import google_crc32c

BYTES_BEFORE, BYTES_AFTER = 12, 4
"""Bytes of a record before and after its data."""

_BYTES_LIST, _INT64_LIST = 1, 3  # fields of tf.train.Feature
_LENGTH_DELIMITED = 2  # kind of a protobuf field whose content begins with its length
_MORE = 0x80  # bit of a byte of a varint that is not its last
_CRC_OFFSET = 0xA282EAD8


def record(data: bytes) -> bytes:
    """A record of a file of TFRecords."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, _masked_crc(length), data, _masked_crc(data)))


def example(features: Mapping[str, bytes | int]) -> bytes:
    """A serialized `tf.train.Example` with one value of each feature: bytes, or a number of at least 0.

    The features are sorted by name, as TensorFlow sorts them when it serializes in a deterministic way. No
    name may be the beginning of another one: TensorFlow sorts these the other way around.
    """
    entries = (
        _field(1, _field(1, name.encode()) + _field(2, _feature(value)))
        for name, value in sorted(features.items())
    )
    return _field(1, b"".join(entries))


def _feature(value: bytes | int) -> bytes:
    if isinstance(value, int):
        return _field(_INT64_LIST, _field(1, _varint(value)))
    return _field(_BYTES_LIST, _field(1, value))


def _field(number: int, content: bytes) -> bytes:
    return b"".join((bytes([number << 3 | _LENGTH_DELIMITED]), _varint(len(content)), content))


def _varint(value: int) -> bytes:
    """A number in groups of 7 bits, the lowest first; all bytes but the last have the highest bit set."""
    encoded = bytearray()
    while value >= _MORE:
        encoded.append(value % _MORE | _MORE)
        value //= _MORE
    encoded.append(value)
    return bytes(encoded)


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _CRC_OFFSET) & 0xFFFFFFFF)
