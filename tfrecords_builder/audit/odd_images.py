"""Finds images that a person should look at: unreadable, tiny, blank, or probably inverted."""

import dataclasses
from collections.abc import Iterable

from tfrecords_builder.audit.measurements import Measurements, Unreadable
from tfrecords_builder.source.images import SourceImage

TINY_SIDE = 64
"""An image is tiny if its shorter side is below this, in pixels: the default size of the images of a
model."""
BLANK_DEVIATION = 3.0
"""An image is blank if the standard deviation of its gray levels is below this. JPEG leaves less on an empty
image, and the X-rays of the public dataset have at least 20."""
INVERTED_EXCESS = 0.0
"""An image is probably inverted if its corners are brighter than its middle by more than this, in gray
levels."""


@dataclasses.dataclass(frozen=True)
class OddImage:
    """An image to look at."""

    image: SourceImage
    why: str


def is_tiny(measured: Measurements) -> bool:
    """Whether the image has too few pixels to show a pneumonia."""
    return min(measured.width, measured.height) < TINY_SIDE


def is_blank(measured: Measurements) -> bool:
    """Whether the image shows nothing."""
    return measured.deviation < BLANK_DEVIATION


def is_inverted(measured: Measurements) -> bool:
    """Whether the image probably shows air white."""
    return measured.corner_excess > INVERTED_EXCESS and not is_blank(measured)


def unreadable_images(unreadable: Iterable[Unreadable]) -> tuple[OddImage, ...]:
    """The files that cannot be read as images."""
    return tuple(OddImage(file.image, file.reason) for file in unreadable)


def tiny_images(measured: Iterable[Measurements]) -> tuple[OddImage, ...]:
    """The images that are tiny."""
    return tuple(OddImage(m.image, f"{m.width}x{m.height} pixels") for m in measured if is_tiny(m))


def blank_images(measured: Iterable[Measurements]) -> tuple[OddImage, ...]:
    """The images that are blank."""
    return tuple(
        OddImage(m.image, f"standard deviation of the gray levels: {m.deviation:.1f}")
        for m in measured
        if is_blank(m)
    )


def inverted_images(measured: Iterable[Measurements]) -> tuple[OddImage, ...]:
    """The images that are probably inverted."""
    return tuple(
        OddImage(m.image, f"corners brighter than the middle by {m.corner_excess:.0f} gray levels")
        for m in measured
        if is_inverted(m)
    )
