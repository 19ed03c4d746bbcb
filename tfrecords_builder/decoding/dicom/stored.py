"""The stored values of the pixels, and which of them are padding.

Sources: DICOM PS3.5, section 8.1.1; PS3.3, C.7.5.1.1.2.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tfrecords_builder.decoding.errors import UnreadableImage

if TYPE_CHECKING:
    import pydicom


@dataclasses.dataclass(frozen=True)
class StoredValues:
    """Where the stored values are in the words of the pixels.

    Raises:
        UnreadableImage: if there are no such bits.
    """

    bits: int
    """Bits of a stored value."""
    word_bits: int
    """Bits of a word."""
    shift: int
    """Number of bits of the word below the stored value."""
    is_signed: bool
    """Whether stored values are two's complement numbers."""
    padding: tuple[int, int] | None = None
    """Smallest and largest value of the pixels that are padding."""

    def __post_init__(self) -> None:
        if not (1 <= self.bits <= self.word_bits and 0 <= self.shift <= self.word_bits - self.bits):
            raise UnreadableImage(
                f"DICOM with BitsStored {self.bits} and HighBit {self.bits + self.shift - 1} "
                f"in {self.word_bits} bits per pixel: there are no such bits"
            )

    @classmethod
    def of(cls, dataset: "pydicom.Dataset") -> "StoredValues":
        """Reads the elements that describe the stored values."""
        from pydicom.uid import RLELossless

        word_bits = int(dataset.BitsAllocated)
        bits = _integer(dataset.get("BitsStored")) or word_bits
        high_bit = _integer(dataset.get("HighBit"))
        syntax = dataset.file_meta.TransferSyntaxUID
        # Decoders of JPEG return the values alone.
        has_shift = high_bit is not None and (not syntax.is_encapsulated or syntax == RLELossless)
        first = _integer(dataset.get("PixelPaddingValue"))
        last = _integer(dataset.get("PixelPaddingRangeLimit"))
        return cls(
            bits=bits,
            word_bits=word_bits,
            shift=high_bit + 1 - bits if high_bit is not None and has_shift else 0,
            is_signed=_integer(dataset.get("PixelRepresentation")) == 1,
            padding=None if first is None else (first, first if last is None else last),
        )

    def values(self, words: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """The stored values of words: the bits above and below may hold overlays, or anything."""
        return _with_sign(words.astype(np.int64) >> self.shift, self.bits, self.is_signed)

    def is_padding(self, dtype: DTypeLike) -> NDArray[np.bool_]:
        """Whether a pixel is padding, for every word of a type, bool (number of words,)."""
        words = np.arange(1 << 8 * np.dtype(dtype).itemsize)
        if self.padding is None:
            return np.zeros(words.size, bool)
        # Some files write a value with a sign as one without.
        first, last = sorted(int(_with_sign(value, self.word_bits, self.is_signed)) for value in self.padding)
        values = self.values(words)
        if first < values.min() or last > values.max():  # then the padding uses all bits of the word
            values = _with_sign(words, self.word_bits, self.is_signed)
        return (first <= values) & (values <= last)


def _with_sign(words: Any, bits: int, is_signed: bool) -> Any:
    """The lowest bits of integers as numbers."""
    half = 1 << bits - 1 if is_signed else 0
    return ((words + half) & (1 << bits) - 1) - half


def _integer(value: Any) -> int | None:
    return int(value) if isinstance(value, int) else None
