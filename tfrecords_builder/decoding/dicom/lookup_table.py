"""Modality and VOI LUTs (DICOM PS3.3, C.11.1.1 and C.11.2.1.1)."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tfrecords_builder.decoding.errors import UnreadableImage

if TYPE_CHECKING:
    import pydicom

MAX_BITS = 16
"""Most bits of an entry."""


@dataclasses.dataclass(frozen=True)
class LookupTable:
    """A table of output values, for input values from `first` on.

    Raises:
        UnreadableImage: if the table is damaged.
    """

    first: int
    """Input value of the first entry: lower ones get it too, and those after the last entry get the last."""
    entries: NDArray[np.int64]
    bits: int
    """Bits of an entry: the largest is shown white."""

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise UnreadableImage(
                f"DICOM whose lookup table has entries of {self.bits} bits: expected 1 to {MAX_BITS}"
            )

    @classmethod
    def of(cls, item: "pydicom.Dataset", dataset: "pydicom.Dataset") -> "LookupTable":
        """Reads the table that an item of a sequence holds.

        The standard allows entries of 8 or 16 bits. Files have 10 and 12 too, and store those of 8 in one
        byte or in two each.
        """
        descriptor = _integers(item.get("LUTDescriptor"), 2, dataset)
        if len(descriptor) != 3:  # noqa: PLR2004
            raise UnreadableImage("DICOM whose lookup table is not described")
        num_entries, first, bits = descriptor[0] or 1 << MAX_BITS, descriptor[1], descriptor[2]
        if dataset.get("PixelRepresentation") == 1 and first >= 1 << MAX_BITS - 1:
            first -= 1 << MAX_BITS
        data = item.get("LUTData")
        in_bytes = isinstance(data, bytes) and bits <= 8 and len(data) < 2 * num_entries  # noqa: PLR2004
        entries = _integers(data, 1 if in_bytes else 2, dataset)[:num_entries]
        if len(entries) < num_entries:
            raise UnreadableImage(
                f"DICOM whose lookup table is cut off: {len(entries)} entries, expected {num_entries}"
            )
        return cls(first, np.array(entries, np.int64), bits)

    def values(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Looks up values, float64 (values,)."""
        places = np.clip(np.rint(inputs).astype(np.int64) - self.first, 0, len(self.entries) - 1)
        return self.entries[places].astype(np.float64)

    def relative(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Looks up values as fractions of the largest that an entry can have, float64 (values,), 0 to 1."""
        return self.values(inputs) / max((1 << self.bits) - 1, int(self.entries.max()))


def _integers(value: Any, size: int, dataset: "pydicom.Dataset") -> list[int]:
    """The numbers of an element without a sign, which are in the file as bytes, one number, or several."""
    if isinstance(value, bytes):
        _, is_little_endian = dataset.original_encoding
        order = "<" if is_little_endian or is_little_endian is None else ">"
        usable = len(value) // size * size
        return [int(number) for number in np.frombuffer(value[:usable], f"{order}u{size}")]
    if value is None:
        return []
    return [int(number) for number in (value if hasattr(value, "__len__") else [value])]
