"""The record format: one pre-cropped X-ray, its label and its origin, as a tf.train.Example.

| feature   | type  | meaning                                                                          |
| --------- | ----- | -------------------------------------------------------------------------------- |
| `image`   | bytes | gray image: raw uint8 rows (side * side bytes), or an encoded JPEG or PNG        |
| `label`   | int64 | 0 NORMAL, 1 PNEUMONIA                                                            |
| `patient` | bytes | the patient's identifier, as the source has it                                   |
| `source`  | bytes | path relative to the source folder                                               |
| `subtype` | bytes | `bacteria`, `virus` or empty                                                     |
| `sha256`  | bytes | digest of the original file, in hexadecimal                                      |

Shards are named `<split>-00000-of-00016.tfrecord`.
"""

import dataclasses
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import tensorflow as tf

Split = Literal["train", "val", "test"]
Encoding = Literal["raw", "jpeg", "png"]

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


def shard_name(split: Split, index: int, count: int) -> str:
    """The file name of shard number `index` (the first is 0) of `count`."""
    return f"{split}-{index:05d}-of-{count:05d}.tfrecord"


def serialize(record: Record) -> bytes:
    """Encodes a record; the same record always gives the same bytes."""
    import tensorflow as tf

    def feature(value: bytes | str) -> tf.train.Feature:
        value = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = {
        "image": feature(record.image),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[record.label])),
        "patient": feature(record.patient),
        "source": feature(record.source),
        "subtype": feature(record.subtype),
        "sha256": feature(record.sha256),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


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

    labels = features["label"].int64_list.value if "label" in features else []
    if len(labels) != 1:
        raise ValueError(f"feature 'label' has {len(labels)} int64 values, expected 1")
    text = {
        name: value(name).decode("utf-8", "surrogateescape")
        for name in ("patient", "source", "subtype", "sha256")
    }
    return Record(image=value("image"), label=labels[0], **text)


def features_for_training() -> dict[str, "tf.io.FixedLenFeature"]:
    """The features that a training reads, for `tf.io.parse_example`."""
    import tensorflow as tf

    return {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}
