"""Reads shards as serialized tf.train.Examples and parses batches of them into images and labels."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from pipeline.input import lung_masks
from pipeline.input.stored_split import StoredSplit
from tfrecords_builder.errors import UserError
from tfrecords_builder.records import features_for_training


def shard_parts(stored: StoredSplit) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Path (string), first record and number of records (int64) of every part, each of shape (parts,)."""
    parts = stored.share.parts
    return (
        tf.constant([stored.path(part.shard) for part in parts]),
        tf.constant([part.first_record for part in parts], tf.int64),
        tf.constant([part.num_records for part in parts], tf.int64),
    )


def read_part(path: tf.Tensor, first_record: tf.Tensor, num_records: tf.Tensor) -> tf.data.Dataset:
    """Serialized examples of one part of a shard, in the order in which they are stored."""
    return tf.data.TFRecordDataset(path).skip(first_record).take(num_records)


def read_in_order(stored: StoredSplit) -> tf.data.Dataset:
    """Serialized examples of this host, in the order in which they are stored."""
    return tf.data.Dataset.from_tensor_slices(shard_parts(stored)).flat_map(read_part)


def parse_batches(batches: tf.data.Dataset, stored: StoredSplit) -> tf.data.Dataset:
    """Parses batches of serialized examples; to parse a whole batch in one call is several times faster.

    Returns:
        Dataset of (image uint8 (batch, side, side, 1), label float32 (batch,)); with `stored.lungs` of
        ((image, lungs int8 (batch, side, side, 1)), label), see `pipeline.input.lung_masks.unpack`.
    """
    side, features = stored.side, features_for_training(lungs=stored.lungs)

    def parse(batch: tf.Tensor) -> tuple[Any, tf.Tensor]:
        parsed = tf.io.parse_example(batch, features)
        if stored.encoding == "raw":
            pixels = tf.io.decode_raw(parsed["image"], tf.uint8, fixed_length=side * side)
        else:
            decode = _decode_png if stored.encoding == "png" else _decode_jpeg
            pixels = tf.map_fn(decode, parsed["image"], fn_output_signature=tf.uint8)
        images, labels = tf.reshape(pixels, (-1, side, side, 1)), tf.cast(parsed["label"], tf.float32)
        if not stored.lungs:
            return images, labels
        packed, known = lung_masks.from_features(parsed["lungs"], side)
        return (images, lung_masks.unpack(packed, known, side)), labels

    return batches.map(parse, num_parallel_calls=tf.data.AUTOTUNE)


def _decode_png(encoded: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_png(encoded, channels=1)


def _decode_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    # TensorFlow's default method differs from the builder's OpenCV by up to 10 gray levels.
    return tf.io.decode_jpeg(encoded, channels=1, dct_method="INTEGER_ACCURATE")


_ITERATOR = "IteratorGetNext"
"""Operation that TensorFlow's errors name if they arose while records were read, and not in the model."""
_AROUND_THE_REASON = re.compile(
    r"Graph execution error:|Detected at node .*|<stack traces .*|\s*File \".*|Traceback .*"
    r"|Error in user-defined function .*?Iterator::\S*: |\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*"
)


@contextlib.contextmanager
def refusing_damage(folder: str) -> Iterator[None]:
    """Turns TensorFlow's error for a shard that is damaged, or cannot be read, into the user's.

    Raises:
        UserError: if the block meets such a shard.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if _ITERATOR not in error.message:
            raise
        raise UserError(
            f"a shard of {folder!r} is damaged or cannot be read ({_reason(error.message)}): "
            f"`python -m tfrecords_builder.verify {folder}` names every damaged shard"
        ) from None


def _reason(message: str) -> str:
    """The line of TensorFlow's message that says what is wrong, without where in the graph it was found."""
    lines = (_AROUND_THE_REASON.sub("", line).strip() for line in message.splitlines())
    return next((line for line in lines if line), "unknown reason")
