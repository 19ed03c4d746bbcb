"""X-rays with their lung masks, from which the lung finder learns, and random changes of them."""

import dataclasses
import logging

import cv2
import numpy as np
from numpy.typing import NDArray

from tfrecords_builder import Preprocessing
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.errors import UserError
from tfrecords_builder.lungs.finder import SIDE, network_input
from tfrecords_builder.records import PNEUMONIA
from tfrecords_builder.source.find import find_source_images
from tfrecords_builder.source.images import SourceImage, image_path, read_image
from tfrecords_builder.source.lung_masks import mask_path, read_mask
from tfrecords_builder.source.settings import SourceOptions
from tfrecords_builder.synthetic_xray import draw

STORED_SIDE = 96
"""Side of the examples before they are changed, in pixels."""
_LARGEST_BORDER = 0.15  # of the crops that the finder must cope with, as a fraction of the side
_SYNTHETIC_HEIGHT = 140  # pixels

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Whole X-rays, squashed to a square, and their masks."""

    images: NDArray[np.uint8]
    """(n, STORED_SIDE, STORED_SIDE), 0 to 255."""
    masks: NDArray[np.uint8]
    """(n, STORED_SIDE, STORED_SIDE), 255 in the lungs, else 0."""
    labels: NDArray[np.int64]
    """0 NORMAL, 1 PNEUMONIA, (n,)."""
    patients: NDArray[np.str_]
    """(n,)."""

    def take(self, chosen: NDArray[np.bool_]) -> "Examples":
        """The chosen ones, of (n,)."""
        return Examples(*(values[chosen] for values in vars(self).values()))


def read_examples(source: str, masks: str, split: str) -> Examples:
    """Reads the X-rays of a split that have a mask.

    Args:
        source: a folder or table of X-rays, as of `python -m tfrecords_builder`.
        masks: the folder of their masks.
        split: `train` or `test`.

    Raises:
        UserError: if there are none.
    """
    found = find_source_images(source, SourceOptions())
    in_split = [image for image in found.images if image.split == split]
    whole = Preprocessing(image_size=STORED_SIDE, border=0)
    examples = []
    for image in progress(in_split, len(in_split), f"reading {split}"):
        mask = read_mask(mask_path(masks, image.source), whole)
        if mask is not None:
            pixels = whole.apply(read_image(image_path(found.folder, image.source)))
            examples.append((pixels, mask, image))
    if not examples:
        raise UserError(
            f"no {split} image of {source!r} has a mask in {masks!r}: expected {split}/CLASS/NAME.png"
        )
    logger.info("%d of %d %s images have a mask", len(examples), len(in_split), split)
    return _examples(
        [pixels for pixels, _, _ in examples],
        [mask for _, mask, _ in examples],
        [image for _, _, image in examples],
    )


def _examples(
    pixels: list[NDArray[np.uint8]], masks: list[NDArray[np.bool_]], images: list[SourceImage]
) -> Examples:
    return Examples(
        np.stack(pixels),
        np.where(np.stack(masks), 255, 0).astype(np.uint8),
        np.array([image.label for image in images]),
        np.array([image.patient for image in images]),
    )


def draw_examples(count: int, seed: int) -> Examples:
    """Draws synthetic X-rays, every other one with pneumonia."""
    pixels, masks = [], []
    for number in range(count):
        picture, _, mask = draw(
            np.random.default_rng((seed, number)),
            number % 2,
            viral=number % 4 == PNEUMONIA,
            mean_height=_SYNTHETIC_HEIGHT,
            contrast=0.22,
            marker_strength=0.0,
        )
        pixels.append(_squash(picture))
        masks.append(_squash(np.where(mask, 255, 0).astype(np.uint8)) >= 128)  # noqa: PLR2004 - half of 255
    images = [SourceImage("", "train", number % 2, f"synthetic {number}", "") for number in range(count)]
    return _examples(pixels, masks, images)


def _squash(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.resize(picture, (STORED_SIDE, STORED_SIDE), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def change(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Crops and moves an example, and changes its gray values, at random.

    Returns:
        The input of the network (SIDE, SIDE), and the mask (SIDE, SIDE), 0 to 1.
    """
    matrix = _random_matrix(generator)
    moved, moved_mask = (
        cv2.warpAffine(
            picture, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=border
        )
        for picture, border in ((image, cv2.BORDER_REPLICATE), (mask, cv2.BORDER_CONSTANT))
    )
    gray = (moved / 255.0) ** np.exp(generator.uniform(-0.5, 0.5))
    if generator.uniform() < 0.3:  # noqa: PLR2004
        gray = cv2.GaussianBlur(gray, (0, 0), generator.uniform(0.4, 1.2))
    gray = gray + generator.normal(0, generator.uniform(0, 0.05), gray.shape)
    pixels = np.clip(np.rint(255 * gray), 0, 255).astype(np.uint8)
    return network_input(pixels), (moved_mask / 255.0).astype(np.float32)


def _random_matrix(generator: np.random.Generator) -> NDArray[np.float32]:
    """Maps places of the result to places of the whole X-ray: a crop, turned, stretched and shifted."""
    kept = 1 - 2 * generator.uniform(0, _LARGEST_BORDER)
    aspect = np.exp(generator.uniform(-0.25, 0.25))
    zoom = kept * np.exp(generator.uniform(-0.15, 0.15)) * STORED_SIDE / SIDE
    angle = np.radians(generator.uniform(-10, 10))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([zoom * aspect, zoom / aspect])
    shift = generator.uniform(-0.06, 0.06, 2) * STORED_SIDE
    offset = (STORED_SIDE - 1) / 2 + shift - linear @ np.full(2, (SIDE - 1) / 2)
    return np.column_stack([linear, offset]).astype(np.float32)
