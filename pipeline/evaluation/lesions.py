"""Where the lesions of images are known: boxes in a JSON file, as masks of the prepared images."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfrecords_builder import Preprocessing, storage
from tfrecords_builder.decoding.dispatch import decode
from tfrecords_builder.errors import UserError, first_line
from tfrecords_builder.lesions import draw_boxes


def load_masks(path: str, sources: Sequence[str], preprocessing: Preprocessing) -> NDArray[np.bool_]:
    """Draws the boxes of lesions, cropped and resized as the images were.

    Args:
        path: JSON object from the path of an image, relative to the file's own folder, to its boxes: left,
            top, width and height in pixels of the original image. A path or a URL. The images are beside it:
            boxes are in their pixels.
        sources: paths of the images, as their records name them.
        preprocessing: that of the records.

    Returns:
        Masks (images, side, side), true in lesions; all false where an image has none.

    Raises:
        UserError: if the file is damaged, an image is missing, or no image has a lesion.
    """
    boxes = _read(path)
    masks = np.zeros((len(sources), preprocessing.image_size, preprocessing.image_size), bool)
    for mask, source in zip(masks, sources, strict=True):
        if boxes.get(source):
            mask[:] = _draw(
                storage.join(path.rpartition("/")[0] or ".", source), boxes[source], preprocessing
            )
    if not masks.any():
        raise UserError(
            f"{path!r} has no box for any of the {len(sources)} images, for example {sources[0]!r}"
        )
    return masks


def _read(path: str) -> dict[str, Any]:
    try:
        boxes = json.loads(storage.read(path))
    except (OSError, ValueError) as error:
        raise UserError(f"the lesions {path!r} cannot be read: {first_line(error)}") from None
    well_formed = isinstance(boxes, dict) and all(
        isinstance(of_image, list)
        and all(isinstance(box, list) and len(box) == len("ltwh") for box in of_image)
        for of_image in boxes.values()
    )
    if not well_formed:
        raise UserError(f"{path!r} is no JSON object from paths to lists of boxes [left, top, width, height]")
    return boxes


def _draw(path: str, boxes: Sequence[Sequence[float]], preprocessing: Preprocessing) -> NDArray[np.bool_]:
    if not storage.exists(path):
        raise UserError(
            f"the image {path!r}, whose lesions are given, is missing: keep lesions and images together"
        )
    image = decode(storage.read_with(path, lambda local: Path(local).read_bytes()))
    return draw_boxes(image.shape, boxes, preprocessing)
