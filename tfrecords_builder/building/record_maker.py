"""Makes records of images. Every engine runs it, on this machine or on others."""

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence

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

IMAGES_AT_ONCE = 8
"""With fewer images at once, finding the lungs and handing work to threads take longer for each image."""


@dataclasses.dataclass
class _Decoded:
    """An image whose file could be read."""

    source: SourceImage
    sha256: str
    """Digest of the file."""
    pixels: NDArray[np.uint8]
    """The preprocessed image, (side, side)."""
    height: int
    width: int
    """Size of the original, in pixels."""
    lungs: bytes | None
    """The packed lung mask; empty if the image has none, None if records have no masks."""


@dataclasses.dataclass(frozen=True)
class RecordMaker:
    """Turns image files into records. It is small, so that it can be sent to other processes."""

    folder: str
    """Folder that the paths of the images are relative to."""
    preprocessing: Preprocessing
    encoding: Encoding
    lungs: str = "none"
    """`none`, `auto` for the lung finder, or the folder of the lung masks."""

    def __call__(self, images: Sequence[SourceImage]) -> list[PlacedExample | LeftOut]:
        """Returns for each image its serialized record, or why it is left out.

        Args:
            images: all of them are in memory at the same time; see IMAGES_AT_ONCE.
        """
        decoded = [self._decode(image) for image in images]
        if self.lungs == "auto":
            _draw_lungs([each for each in decoded if isinstance(each, _Decoded)])
        return [each if isinstance(each, LeftOut) else self._record(each) for each in decoded]

    def _decode(self, image: SourceImage) -> _Decoded | LeftOut:
        try:
            encoded = read_image(image_path(self.folder, image.source))
            digest = hashlib.sha256(encoded).hexdigest()  # now, while the file is in the CPU's cache
            pixels, height, width = self.preprocessing.apply_and_measure(encoded)
            return _Decoded(image, digest, pixels, height, width, self._read_lungs(image))
        except OSError as error:
            return LeftOut(image.source, f"cannot be read: {error.strerror}")
        except UnreadableImage as error:
            return LeftOut(image.source, str(error))

    def _record(self, decoded: _Decoded) -> PlacedExample:
        image = decoded.source
        record = Record(
            image=self._encode(decoded.pixels),
            label=image.label,
            patient=image.patient,
            source=image.source,
            subtype=image.subtype,
            sha256=decoded.sha256,
            lungs=decoded.lungs,
            lesions=self._lesions(image, (decoded.height, decoded.width)),
            width=decoded.width,
            height=decoded.height,
            columns=dict(image.details.columns) or None,
        )
        return place(serialize(record), record)

    def _read_lungs(self, image: SourceImage) -> bytes | None:
        """The packed lung mask of an image from the folder of the masks, if there is such a folder."""
        if self.lungs in ("auto", "none"):
            return None
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


def split_up(images: Sequence[SourceImage]) -> Iterable[Sequence[SourceImage]]:
    """Divides images into as many at a time as a RecordMaker should get."""
    for first in range(0, len(images), IMAGES_AT_ONCE):
        yield images[first : first + IMAGES_AT_ONCE]


def _draw_lungs(decoded: Sequence[_Decoded]) -> None:
    from tfrecords_builder.lungs import find_lungs

    masks = find_lungs([each.pixels for each in decoded])
    for each, mask in zip(decoded, masks, strict=True):
        each.lungs = pack_mask(mask)
