"""The sizes of the synthetic images that are sent."""

import dataclasses
import re

DEFAULT_SIZES = ("1300x950:6", "1858x1317:2", "1024x1024:2")
"""Mostly the size of the files of the public dataset, some larger, some of another hospital."""

_SIZE = re.compile(r"(\d+)x(\d+)(?::(\d+))?")
_SMALLEST_SIDE, _LARGEST_SIDE = 32, 8192  # pixels


@dataclasses.dataclass(frozen=True)
class Size:
    """A size of images, and its share among the sizes that are mixed."""

    width: int
    """Width in pixels."""
    height: int
    """Height in pixels."""
    share: int = 1
    """How many images have this size, relative to the shares of the other sizes."""

    @classmethod
    def parse(cls, text: str) -> "Size":
        """Reads WIDTHxHEIGHT or WIDTHxHEIGHT:SHARE.

        Raises:
            ValueError: for any other text.
        """
        found = _SIZE.fullmatch(text)
        width, height, share = (int(number or 1) for number in found.groups()) if found else (0, 0, 0)
        if share < 1 or not all(_SMALLEST_SIDE <= side <= _LARGEST_SIDE for side in (width, height)):
            raise ValueError(
                "sizes must be WIDTHxHEIGHT or WIDTHxHEIGHT:SHARE, with sides of "
                f"{_SMALLEST_SIDE} to {_LARGEST_SIDE} pixels. Received: {text!r}"
            )
        return cls(width, height, share)
