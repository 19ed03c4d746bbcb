"""Images of a large split in a temporary file, so that they take no memory."""

import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_IMAGES_AT_ONCE = 256


class ImagesOnDisk:
    """Images uint8 (n, side, side, 1), as an array of NumPy as far as it is indexed by its first axis.

    The file is in the folder for temporary files (TMPDIR) and is gone when the object is.

    Args:
        side: side of the images, in pixels.
    """

    def __init__(self, side: int) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it is closed with this object
        self._side = side
        self._count = 0

    def append(self, images: NDArray[np.uint8]) -> None:
        """Adds images (count, side, side, 1) at the end.

        Raises:
            OSError: if there is no space.
        """
        left = memoryview(images.tobytes())
        while left:
            left = left[self._file.write(left) :]
        self._count += len(images)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As of an array of NumPy."""
        return self._count, self._side, self._side, 1

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        """Reads one image (side, side, 1), or the images of a slice or of an array of positions."""
        if isinstance(rows, slice):
            begin, end, step = rows.indices(self._count)
            if step == 1:
                return self._read(begin, max(0, end - begin))
        positions = np.arange(self._count)[rows]
        if positions.ndim == 0:
            return self._read(int(positions), 1)[0]
        images = np.empty((len(positions), *self.shape[1:]), np.uint8)
        for image, position in zip(images, positions, strict=True):
            image[:] = self._read(int(position), 1)[0]
        return images

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Reads all images, one after the other."""
        for begin in range(0, self._count, _IMAGES_AT_ONCE):
            yield from self[begin : begin + _IMAGES_AT_ONCE]

    def _read(self, first: int, count: int) -> NDArray[np.uint8]:
        image_bytes = self._side**2
        read = os.pread(self._file.fileno(), count * image_bytes, first * image_bytes)
        return np.frombuffer(read, np.uint8).reshape(count, *self.shape[1:])
