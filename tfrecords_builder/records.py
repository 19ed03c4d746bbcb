"""The record format: one pre-cropped X-ray, its label and its origin, as a tf.train.Example.

| feature   | type  | meaning                                                                          |
| --------- | ----- | -------------------------------------------------------------------------------- |
| `image`   | bytes | gray image: raw uint8 rows (side * side bytes), or an encoded JPEG or PNG        |
| `label`   | int64 | 0 NORMAL, 1 PNEUMONIA                                                            |
| `patient` | bytes | the patient's identifier, as the source has it                                   |
| `source`  | bytes | path relative to the source folder                                               |
| `subtype` | bytes | `bacteria`, `virus` or empty                                                     |
| `sha256`  | bytes | digest of the original file, in hexadecimal                                      |
| `lungs`   | bytes | lungs in the same crop: packed bits of the mask (see `pack_mask`); empty where   |
|           |       | unknown. Records that were built without masks do not have the feature           |
| `lesions` | bytes | boxes of lesions that a table names, as a mask packed like `lungs`; empty where  |
|           |       | there are none. Only in records that were built with `--table.box`               |
| `width`   | int64 | width of the original image in pixels; older records do not have it              |
| `height`  | int64 | height of the original image in pixels; older records do not have it             |
| `columns` | bytes | JSON object with the text of the columns of `--table.keep`, by their names. Only |
|           |       | in records that were built with that option                                      |

Shards are named `<split>-00000-of-00016.tfrecord`.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from tfrecords_builder import tfrecord

if TYPE_CHECKING:
    import tensorflow as tf

Split = Literal["train", "val", "test"]
Encoding = Literal["raw", "jpeg", "png"]
LungMasks = Literal["none", "auto", "masks"]
"""Where lung masks come from: nowhere, from the lung finder, or from a folder of masks."""

ReadT = TypeVar("ReadT")

SPLITS: tuple[Split, ...] = ("train", "val", "test")
CLASS_NAMES = ("NORMAL", "PNEUMONIA")
NORMAL, PNEUMONIA = range(len(CLASS_NAMES))

JPEG_QUALITY = 95
"""Quality, 0 to 100, of images that are stored as JPEG."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One X-ray of a shard. Its fields are the features that the module describes."""

    image: bytes
    label: int
    patient: str
    source: str
    subtype: str
    sha256: str
    lungs: bytes | None = None
    """None if the record does not have the feature."""
    lesions: bytes | None = None
    """None if the record does not have the feature."""
    width: int | None = None
    """None if the record does not have the feature."""
    height: int | None = None
    """None if the record does not have the feature."""
    columns: Mapping[str, str] | None = None
    """None if the record does not have the feature."""


def num_packed_bytes(side: int) -> int:
    """Bytes of a packed lung mask of side*side pixels."""
    return -(-side * side // 8)


def pack_mask(mask: NDArray[np.bool_]) -> bytes:
    """Packs a mask (side, side) of lungs or lesions: by rows, eight pixels a byte, the highest bit first."""
    return np.packbits(mask).tobytes()


def unpack_mask(packed: bytes, side: int) -> NDArray[np.bool_]:
    """Unpacks what `pack_mask` returned into a mask (side, side).

    Raises:
        ValueError: if it has another size.
    """
    if len(packed) != num_packed_bytes(side):
        raise ValueError(f"a mask has {len(packed)} bytes, expected {num_packed_bytes(side)}")
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=side * side)
    return bits.reshape(side, side).astype(np.bool_)


def shard_name(split: Split, index: int, count: int) -> str:
    """The file name of shard number `index` (the first is 0) of `count`."""
    return f"{split}-{index:05d}-of-{count:05d}.tfrecord"


def serialize(record: Record) -> bytes:
    """Encodes a record; the same record always gives the same bytes."""
    values = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    return tfrecord.example({name: _encode(value) for name, value in values.items() if value is not None})


def _encode(value: bytes | str | int | Mapping[str, str]) -> bytes | int:
    if isinstance(value, Mapping):
        value = json.dumps(dict(value))
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value


def deserialize(serialized: bytes) -> Record:
    """Decodes what `serialize` wrote.

    Raises:
        ValueError: if the bytes are not a record; the message names what is missing.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        features = tf.train.Example.FromString(serialized).features.feature
    except DecodeError as error:
        raise ValueError(f"not a tf.train.Example: {error}") from None

    def value(name: str) -> bytes:
        found = features[name].bytes_list.value if name in features else []
        if len(found) != 1:
            raise ValueError(f"feature {name!r} has {len(found)} bytes values, expected 1")
        return found[0]

    def whole_number(name: str) -> int:
        found = features[name].int64_list.value if name in features else []
        if len(found) != 1:
            raise ValueError(f"feature {name!r} has {len(found)} int64 values, expected 1")
        return found[0]

    text = {
        name: value(name).decode("utf-8", "surrogateescape")
        for name in ("patient", "source", "subtype", "sha256")
    }

    def if_there(name: str, read: Callable[[str], ReadT]) -> ReadT | None:
        return read(name) if name in features else None

    return Record(
        image=value("image"),
        label=whole_number("label"),
        lungs=if_there("lungs", value),
        lesions=if_there("lesions", value),
        width=if_there("width", whole_number),
        height=if_there("height", whole_number),
        columns=if_there("columns", lambda name: columns_of(value(name))),
        **text,
    )


def columns_of(text: bytes) -> dict[str, str]:
    """The columns of a table that the feature `columns` holds; none if it is empty.

    Raises:
        ValueError: if it holds something else.
    """
    columns = json.loads(text or b"{}")
    if not isinstance(columns, dict):
        raise ValueError(f"feature 'columns' is no JSON object: {text!r:.80}")
    return {name: str(cell) for name, cell in columns.items()}


def features_for_training(*, lungs: bool = False) -> dict[str, "tf.io.FixedLenFeature"]:
    """The features that a training reads, for `tf.io.parse_example`; on demand with the lung masks."""
    import tensorflow as tf

    features = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
    if lungs:
        features["lungs"] = tf.io.FixedLenFeature([], tf.string, default_value="")
    return features
