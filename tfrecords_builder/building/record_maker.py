"""Makes the record of one image. Every engine runs it, on this machine or on others."""

import dataclasses
import hashlib

import cv2
import numpy as np
from numpy.typing import NDArray

from tfrecords_builder.decoding import UnreadableImage
from tfrecords_builder.lesions import draw_boxes
from tfrecords_builder.manifest import LeftOut
from tfrecords_builder.preprocessing import Preprocessing
from tfrecords_builder.record_index import PlacedExample, place
from tfrecords_builder.records import JPEG_QUALITY, Encoding, Record, pack_mask, serialize
from tfrecords_builder.source.images import SourceImage, image_path, read_image
from tfrecords_builder.source.lung_masks import mask_path, read_mask


@dataclasses.dataclass(frozen=True)
class RecordMaker:
    """Turns image files into records. It is small, so that it can be sent to other processes."""

    folder: str
    """Folder that the paths of the images are relative to."""
    preprocessing: Preprocessing
    encoding: Encoding
    lungs: str = "none"
    """`none`, `auto` for the lung finder, or the folder of the lung masks."""

    def __call__(self, image: SourceImage) -> PlacedExample | LeftOut:
        """Returns the serialized record of an image, or why the image is left out."""
        try:
            encoded = read_image(image_path(self.folder, image.source))
            digest = hashlib.sha256(encoded).hexdigest()  # now, while the file is in the CPU's cache
            pixels, height, width = self.preprocessing.apply_and_measure(encoded)
            lungs = self._lungs(image, pixels)
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
            lungs=lungs,
            lesions=self._lesions(image, (height, width)),
            width=width,
            height=height,
            columns=dict(image.details.columns) or None,
        )
        return place(serialize(record), record)

    def _lungs(self, image: SourceImage, pixels: NDArray[np.uint8]) -> bytes | None:
        """The packed lung mask of an image; empty if it has none, None if records have no masks."""
        if self.lungs == "none":
            return None
        if self.lungs == "auto":
            from tfrecords_builder.lungs import find_lungs

            return pack_mask(find_lungs(pixels))
        mask = read_mask(mask_path(self.lungs, image.source), self.preprocessing)
        return b"" if mask is None else pack_mask(mask)

    def _lesions(self, image: SourceImage, shape: tuple[int, ...]) -> bytes | None:
        """The packed mask of the boxes of an image; empty if it has none, None if records have no boxes."""
        boxes = image.details.boxes
        if boxes is None:
            return None
        return pack_mask(draw_boxes(shape, boxes, self.preprocessing)) if boxes else b""

    def _encode(self, pixels: NDArray[np.uint8]) -> bytes:
        if self.encoding == "raw":
            return pixels.tobytes()
        parameters = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if self.encoding == "jpeg" else []
        return cv2.imencode(f".{self.encoding}", pixels, parameters)[1].tobytes()
