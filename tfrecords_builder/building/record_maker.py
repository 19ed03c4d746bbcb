"""Makes the record of one image. Every engine runs it, on this machine or on others."""

import dataclasses
import hashlib
import os
import stat

import cv2
import numpy as np
from numpy.typing import NDArray

from tfrecords_builder.decoding import UnreadableImage
from tfrecords_builder.manifest import LeftOut
from tfrecords_builder.preprocessing import Preprocessing
from tfrecords_builder.records import JPEG_QUALITY, Encoding, Record, serialize
from tfrecords_builder.source.images import SourceImage

MAX_FILE_BYTES = 512 << 20
"""Largest image file that is read, in bytes: 512 MiB are more than MAX_PIXELS need without compression."""


@dataclasses.dataclass(frozen=True)
class RecordMaker:
    """Turns image files into records. It is small, so that it can be sent to other processes."""

    folder: str
    """Folder that the paths of the images are relative to."""
    preprocessing: Preprocessing
    encoding: Encoding

    def __call__(self, image: SourceImage) -> bytes | LeftOut:
        """Returns the serialized record of an image, or why the image is left out."""
        try:
            encoded = _read(f"{self.folder}/{image.source}")
            digest = hashlib.sha256(encoded).hexdigest()  # now, while the file is in the CPU's cache
            pixels = self.preprocessing.apply(encoded)
        except OSError as error:
            return LeftOut(image.source, f"cannot be read: {error.strerror}")
        except UnreadableImage as error:
            return LeftOut(image.source, str(error))
        record = Record(
            image=self._encode(pixels),
            label=image.label,
            patient=image.patient,
            source=image.source,
            subtype=image.subtype,
            sha256=digest,
        )
        return serialize(record)

    def _encode(self, pixels: NDArray[np.uint8]) -> bytes:
        if self.encoding == "raw":
            return pixels.tobytes()
        parameters = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if self.encoding == "jpeg" else []
        return cv2.imencode(f".{self.encoding}", pixels, parameters)[1].tobytes()


def _read(path: str) -> bytes:
    """Reads a regular file. Anything else is refused: reading a pipe might never end.

    Raises:
        OSError: if the file cannot be read.
        UnreadableImage: if it is not a regular file, or larger than MAX_FILE_BYTES.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - many times as fast as Path.stat
    except (FileNotFoundError, NotADirectoryError):
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):
        raise UnreadableImage("not a file: a broken link, a folder or a pipe")
    if status.st_size > MAX_FILE_BYTES:
        raise UnreadableImage(f"{status.st_size} bytes are more than the limit of {MAX_FILE_BYTES}")
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()
