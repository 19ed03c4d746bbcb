"""PyTorch's DataLoader: OpenCV reads image files in worker processes."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.benchmark.peers.source import INPUT_GROUP, PeerInput
from pipeline.benchmark.result import Measurement
from pipeline.benchmark.timing import Meter, meter
from pipeline.input.host_resources import num_cores

ORIGINALS = "PyTorch DataLoader, original-size JPEG"
SMALL = "PyTorch DataLoader, small JPEG"


class _Files:
    """A map-style dataset of (image uint8 (1, side, side), label), which worker processes can import."""

    def __init__(self, folder: str, side: int) -> None:
        self.paths = sorted(str(path) for path in Path(folder).rglob("*.jpeg"))
        self.side = side

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, position: int) -> tuple[NDArray[np.uint8], float]:
        path = self.paths[position]
        image = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
        if image.shape != (self.side, self.side):  # type: ignore[union-attr]
            image = cv2.resize(image, (self.side, self.side), interpolation=cv2.INTER_AREA)  # type: ignore[arg-type]
        return image[None], float("PNEUMONIA" in path)  # type: ignore[index, return-value]


def on_files(source: PeerInput) -> list[Measurement]:
    """Reads JPEG files of original size, and JPEG files of the size that is trained on."""
    folders = {ORIGINALS: source.originals, SMALL: source.small}
    return [Measurement(INPUT_GROUP, name, _meter(folder, source)) for name, folder in folders.items()]


def _meter(folder: str, source: PeerInput) -> Meter:
    from torch.utils.data import DataLoader

    loader: Any = DataLoader(
        _Files(folder, source.side),
        batch_size=source.batch_size,
        shuffle=True,
        num_workers=num_cores(),
        persistent_workers=True,
        multiprocessing_context="forkserver",  # TensorFlow's threads do not survive a fork
    )
    batches = _endless(loader)
    return meter(lambda: sum(len(images) for images, _ in itertools.islice(batches, 4)))


def _endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader
