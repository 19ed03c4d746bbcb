"""Finds where the image of each record lies in a shard, and its label, without parsing or copying the record.

A shard is a sequence of (length uint64, CRC of the length uint32, serialized tf.train.Example, CRC of the
example uint32), all little-endian (https://www.tensorflow.org/tutorials/load_data/tfrecord). An Example is a
tree of length-delimited protobuf fields: a tag of one byte, a length as a varint, and the content
(https://protobuf.dev/programming-guides/encoding). So the image, raw pixels or an encoded file, lies in the
shard without a change. The CRCs are not checked, as that would read everything;
`python -m tfrecords_builder.verify` checks them.
"""

import struct
from collections.abc import Iterator

_LENGTH_BYTES, _CRC_BYTES = 8, 4
_BYTES_LIST, _INT64_LIST = 1, 3  # field numbers of tf.train.Feature
_LENGTH_DELIMITED = 2  # wire type


def locate_records(
    shard: memoryview, num_records: int, image_bytes: int | None
) -> Iterator[tuple[tuple[int, int], int, tuple[int, int]]]:
    """Finds the first records of a shard, in about 10 microseconds each.

    Args:
        shard: the bytes of the shard.
        num_records: how many records to find.
        image_bytes: bytes of every raw image; None if the images are encoded.

    Yields:
        (image, label, lungs): the positions (begin, end) of the first byte of the image and of the first one
        after it, the label, and such positions of the lung mask, which are equal if there is none.

    Raises:
        ValueError, IndexError, struct.error: if the shard holds something else.
    """
    at = 0
    for _ in range(num_records):
        (length,) = struct.unpack_from("<Q", shard, at)
        begin = at + _LENGTH_BYTES + _CRC_BYTES
        at = begin + length + _CRC_BYTES
        if at > len(shard):
            raise ValueError(f"a record of {length} bytes ends after the file")
        image, label, lungs = _image_label_and_lungs(shard, begin, begin + length)
        if image_bytes is not None and image[1] - image[0] != image_bytes:
            raise ValueError(f"an image has {image[1] - image[0]} bytes, expected {image_bytes}")
        yield image, label, lungs


def _image_label_and_lungs(
    shard: memoryview, begin: int, end: int
) -> tuple[tuple[int, int], int, tuple[int, int]]:
    image = label = None
    lungs = (0, 0)
    for _, features, features_end in _fields(shard, begin, end):
        for _, entry, entry_end in _fields(shard, features, features_end):
            (_, key, key_end), (_, feature, feature_end) = _fields(shard, entry, entry_end)
            name = bytes(shard[key:key_end])
            if name == b"image":
                image = _only_value(shard, feature, feature_end, _BYTES_LIST)
            elif name == b"label":
                label = shard[_only_value(shard, feature, feature_end, _INT64_LIST)[0]]
            elif name == b"lungs":
                lungs = _only_value(shard, feature, feature_end, _BYTES_LIST)
    if image is None or label is None:
        raise ValueError("a record has no image or no label")
    return image, label, lungs


def _only_value(shard: memoryview, begin: int, end: int, kind: int) -> tuple[int, int]:
    """Begin and end of the value of a tf.train.Feature that holds one value of this kind."""
    ((found_kind, values, values_end),) = _fields(shard, begin, end)
    if found_kind != kind:
        raise ValueError(f"a feature is of kind {found_kind}, expected {kind}")
    ((_, value, value_end),) = _fields(shard, values, values_end)
    return value, value_end


def _fields(shard: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of the length-delimited fields of a protobuf message."""
    while at < end:
        tag = shard[at]
        if tag & 7 != _LENGTH_DELIMITED:
            raise ValueError(f"there is no tf.train.Example at byte {at}")
        length, at = _varint(shard, at + 1)
        if at + length > end:
            raise ValueError(f"a field of {length} bytes at byte {at} ends after its message")
        yield tag >> 3, at, at + length
        at += length


def _varint(shard: memoryview, at: int) -> tuple[int, int]:
    """A number in protobuf's encoding of 7 bits per byte, and the position after it."""
    value = shift = 0
    while True:
        byte = shard[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:  # noqa: PLR2004 - the highest bit says that another byte follows
            return value, at
