"""Memory for batches that is used again as soon as nobody holds the batch."""

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT_BYTES = 64
"""TensorFlow takes over arrays that begin at a multiple of this (Eigen's largest) and copies all others."""


class RecycledBatches:
    """Lends uint8 batches (images, side, side, 1), in the memory of batches that nobody holds any more.

    New memory costs a page fault for every 4 KiB, which takes about as long as filling it.

    Args:
        max_images: number of images of the largest batch.
        side: side of the images, in pixels.
    """

    def __init__(self, max_images: int, side: int) -> None:
        self._max_bytes = max_images * side * side
        self._shape = (side, side, 1)
        self._free: list[NDArray[np.uint8]] = []
        self._lent: dict[int, Any] = {}

    def take(self, num_images: int) -> NDArray[np.uint8]:
        """A C-contiguous batch with arbitrary content, whose memory is lent again when nobody holds it."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = _aligned_memory(self._max_bytes)
        num_bytes = num_images * self._shape[0] * self._shape[1]
        batch = memory[:num_bytes].reshape(num_images, *self._shape)

        def give_back(_: object) -> None:
            del self._lent[id(memory)]
            self._free.append(memory)

        self._lent[id(memory)] = weakref.ref(batch, give_back)
        return batch


def _aligned_memory(num_bytes: int) -> NDArray[np.uint8]:
    memory = np.empty(num_bytes + ALIGNMENT_BYTES, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT_BYTES
    return memory[first : first + num_bytes]
