"""What the machine is, and what it can do at most: the limits that the pipeline is held against."""

import os
import platform
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.benchmark.result import Measurement
from pipeline.benchmark.timing import meter

GROUP = "the machine's limits"
PLAIN_READ = "plain read() of the shards"
FANCY_INDEXING = "numpy fancy indexing"
DECODE = "bare OpenCV decode"
READ_BUFFER_BYTES = 256 << 10  # 256 KiB: larger ones leave the CPU's cache

_PACKAGES = (
    "tensorflow", "keras", "jax", "numpy", "opencv-python-headless",
    "torch", "nvidia-dali-cuda120", "grain", "array_record",
)  # fmt: skip


def describe() -> dict[str, Any]:
    """Processor, memory, devices and versions."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30), 1),
        "load_before": os.getloadavg()[0],
        "platform": platform.platform(),
        "python": platform.python_version(),
        "keras_backend": keras.backend.backend(),
        "devices": keras.distribution.list_devices(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def raw_limits(shards: Sequence[Path], images: NDArray[np.uint8], batch_size: int) -> list[Measurement]:
    """Reading the shards, copying memory, and gathering batches of images (n, side, side, 1) by NumPy."""
    count = len(images)
    source, target = images[: count // 2], np.empty_like(images[: count // 2])
    generator = np.random.default_rng(0)

    def read() -> int:
        buffer = bytearray(READ_BUFFER_BYTES)
        for shard in shards:
            with shard.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass
        return count

    def copy() -> int:
        np.copyto(target, source)
        return len(source)

    def index() -> int:
        order = generator.permutation(count)
        for first in range(0, count, batch_size):
            images[order[first : first + batch_size]]
        return count

    return [
        Measurement(GROUP, PLAIN_READ, meter(read)),
        Measurement(GROUP, "memory copy", meter(copy)),
        Measurement(GROUP, FANCY_INDEXING, meter(index), {"batch_size": batch_size}),
    ]


def decode_limit(encoded: Sequence[bytes]) -> Measurement:
    """Decoding images to gray with OpenCV, with as many threads as there are cores."""
    arrays = [np.frombuffer(image, np.uint8) for image in encoded]
    threads = len(os.sched_getaffinity(0))
    shares = [arrays[first::threads] for first in range(threads)]

    def decode_share(share: Sequence[NDArray[np.uint8]]) -> None:
        for image in share:
            cv2.imdecode(image, cv2.IMREAD_GRAYSCALE)

    def decode() -> int:
        cv2.setNumThreads(1)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(decode_share, shares))
        return len(arrays)

    return Measurement(GROUP, DECODE, meter(decode), {"threads": threads})
