"""Everything that an audit finds."""

import dataclasses
import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tfrecords_builder.audit import odd_images
from tfrecords_builder.audit.counts import ClassCount, count_images
from tfrecords_builder.audit.groups import Groups, identical_images, shared_patients
from tfrecords_builder.audit.measurements import Measurements, Unreadable, measure
from tfrecords_builder.audit.near_images import near_images
from tfrecords_builder.audit.odd_images import OddImage
from tfrecords_builder.audit.original_sizes import OriginalShape, measure_original_shape
from tfrecords_builder.audit.shortcuts import QUANTITIES, Shortcut, measure_shortcut
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.decoding.threads import single_threaded_opencv
from tfrecords_builder.source.find import Source


@dataclasses.dataclass(frozen=True)
class Audit:
    """What was found. The fields are also those of audit.json."""

    source: str
    """The folder or table, as the user named it."""
    folder: str
    """The folder that the paths of the images start from."""
    notes: tuple[str, ...]
    """How the source was read, and what was passed over."""
    near_distance: int
    """Largest distance of the perceptual hashes of near-identical images, in bits."""
    counts: dict[str, dict[str, ClassCount]]
    """Images by split and class."""
    shared_patients: Groups
    """Patients with images in several splits."""
    identical: Groups
    """Files with the same bytes."""
    near: Groups
    """Images that look alike and have different bytes, and the files with the same bytes as one of them."""
    shortcuts: tuple[Shortcut, ...]
    original_shape: OriginalShape | None
    """What the shape of the original files tells, if there is a table of their sizes."""
    unreadable: tuple[OddImage, ...]
    tiny: tuple[OddImage, ...]
    blank: tuple[OddImage, ...]
    inverted: tuple[OddImage, ...]


def audit_images(name: str, source: Source, near_distance: int, workers: int, sizes: str = "") -> Audit:
    """Measures all images and finds what is to be reported.

    Args:
        name: the folder or table, as the user named it.
        source: what it holds.
        near_distance: largest distance of the perceptual hashes of near-identical images, in bits.
        workers: number of threads that read images.
        sizes: table of the sizes of the original files, or empty.

    Raises:
        UserError: if the table of sizes cannot be read.
    """
    with single_threaded_opencv(), ThreadPoolExecutor(workers) as pool:
        results = pool.map(functools.partial(measure, source.folder), source.images)
        measured, unreadable = _separate(list(progress(results, len(source.images), "auditing")))
    return Audit(
        source=name,
        folder=source.folder,
        notes=(*source.notes, *_squashed_note(measured, sizes)),
        near_distance=near_distance,
        counts=count_images(source.images),
        shared_patients=shared_patients(source.images),
        identical=identical_images(measured),
        near=near_images(measured, near_distance),
        shortcuts=tuple(measure_shortcut(measured, quantity) for quantity in QUANTITIES),
        original_shape=measure_original_shape(measured, sizes) if sizes else None,
        unreadable=odd_images.unreadable_images(unreadable),
        tiny=odd_images.tiny_images(measured),
        blank=odd_images.blank_images(measured),
        inverted=odd_images.inverted_images(measured),
    )


def _squashed_note(measured: Sequence[Measurements], sizes: str) -> list[str]:
    """Says that images may have lost their shape, if all have one size and no table has the sizes before."""
    found = {(m.width, m.height) for m in measured}
    if sizes or len(measured) < 2 or len(found) > 1:  # noqa: PLR2004 - a single image tells nothing
        return []
    ((width, height),) = found
    return [
        f"all images have {width}x{height} pixels, so they were probably squashed: their original shape may "
        "tell the class, and a model can read it from the distortion; measure that with --sizes"
    ]


def _separate(results: Sequence[Measurements | Unreadable]) -> tuple[list[Measurements], list[Unreadable]]:
    measured = [result for result in results if isinstance(result, Measurements)]
    return measured, [result for result in results if isinstance(result, Unreadable)]
