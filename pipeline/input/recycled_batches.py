"""Memory for batches that is used again as soon as nobody holds it."""

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT_BYTES = 64
"""TensorFlow takes over arrays that begin at a multiple of this (Eigen's largest) and copies all others."""


class RecycledBatches:
    """Hands out uint8 arrays (count, side, side, 1), and again the memory of those that have been let go.

    New memory costs a page fault for every 4 KiB, which takes about as long as to fill it.

    Args:
        largest: images in the largest batch.
        side: of the images, in pixels.
    """

    def __init__(self, largest: int, side: int) -> None:
        self._largest_bytes = largest * side * side
        self._shape = (side, side, 1)
        self._free: list[NDArray[np.uint8]] = []
        self._lent: dict[int, Any] = {}

    def take(self, count: int) -> NDArray[np.uint8]:
        """A batch with any content, C-contiguous; it may be used until it is let go."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = _aligned(self._largest_bytes)
        batch = memory[: count * self._shape[0] * self._shape[1]].reshape(count, *self._shape)

        def give_back(_: object) -> None:
            del self._lent[id(memory)]
            self._free.append(memory)

        self._lent[id(memory)] = weakref.ref(batch, give_back)
        return batch


def _aligned(size: int) -> NDArray[np.uint8]:
    memory = np.empty(size + ALIGNMENT_BYTES, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT_BYTES
    return memory[first : first + size]
