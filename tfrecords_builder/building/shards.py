"""Builds one record, and one shard: what every engine runs, here or on other machines."""

import dataclasses
import hashlib
import os
import stat
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from tfrecords_builder.building.plan import PlannedShard
from tfrecords_builder.decoding import UnreadableImage
from tfrecords_builder.manifest import LeftOut, Shard
from tfrecords_builder.preprocessing import Preprocessing
from tfrecords_builder.records import Encoding, Record, serialize
from tfrecords_builder.source.folders import SourceImage

JPEG_QUALITY = 95
MAX_FILE_BYTES = 512 << 20  # 512 MiB: more than MAX_PIXELS take without any compression


@dataclasses.dataclass(frozen=True)
class RecordMaker:
    """Turns image files into records; small enough to be sent to other processes."""

    root: str
    """Folder that the paths of the images are relative to."""
    preprocessing: Preprocessing
    encoding: Encoding

    def __call__(self, image: SourceImage) -> bytes | LeftOut:
        """The serialized record of one image, or why there is none."""
        try:
            encoded = _read(f"{self.root}/{image.source}")
            digest = hashlib.sha256(encoded).hexdigest()  # now, while the file is in the CPU's cache
            pixels = self.preprocessing.apply(encoded)
        except OSError as error:
            return LeftOut(image.source, f"cannot be read: {error.strerror}")
        except UnreadableImage as error:
            return LeftOut(image.source, str(error))
        record = Record(
            image=self._stored(pixels),
            label=image.label,
            patient=image.patient,
            source=image.source,
            subtype=image.subtype,
            sha256=digest,
        )
        return serialize(record)

    def _stored(self, pixels: NDArray[np.uint8]) -> bytes:
        if self.encoding == "raw":
            return pixels.tobytes()
        parameters = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if self.encoding == "jpeg" else []
        return cv2.imencode(f".{self.encoding}", pixels, parameters)[1].tobytes()


def _read(path: str) -> bytes:
    """The bytes of a file, if it is one: to read a pipe might never end.

    Raises:
        OSError: if it cannot be read.
        UnreadableImage: if it is no regular file, or too large for any image.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - many times as fast as a Path
    except (FileNotFoundError, NotADirectoryError):
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):
        raise UnreadableImage("no file: a broken link, a folder or a pipe")
    if status.st_size > MAX_FILE_BYTES:
        raise UnreadableImage(f"{status.st_size} bytes are more than the limit of {MAX_FILE_BYTES}")
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()


@dataclasses.dataclass(frozen=True)
class BuiltShard:
    """A finished shard and what is not in it."""

    shard: Shard
    left_out: tuple[LeftOut, ...]


def write_shard(folder: str, planned: PlannedShard, records: Iterator[bytes | LeftOut]) -> BuiltShard:
    """Writes a shard into a folder; it appears under its name when it is whole.

    Args:
        folder: local or remote.
        planned: the shard.
        records: what RecordMaker made of its images, in their order; no more is taken than there are.
    """
    import tensorflow as tf

    path = f"{folder}/{planned.name}"
    unfinished = f"{path}.{os.getpid()}.tmp"
    left_out = []
    count = 0
    with tf.io.TFRecordWriter(unfinished) as writer:
        for _ in planned.images:
            record = next(records)
            if isinstance(record, LeftOut):
                left_out.append(record)
            else:
                writer.write(record)
                count += 1
    size, digest = _size_and_digest(unfinished)
    tf.io.gfile.rename(unfinished, path, overwrite=True)
    return BuiltShard(Shard(planned.name, count, size, digest), tuple(left_out))


def _size_and_digest(path: str) -> tuple[int, str]:
    """Of what was really stored."""
    import tensorflow as tf

    digest = hashlib.sha256()
    size = 0
    with tf.io.gfile.GFile(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()
