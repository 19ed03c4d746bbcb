"""Describes the machine, and measures its limits, with which the rates of the pipeline are compared."""

import contextlib
import os
import platform
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.benchmark.result import Measurement
from pipeline.benchmark.timing import meter
from pipeline.input.host_resources import memory_bytes, num_cores
from tfrecords_builder.decoding.threads import single_threaded_opencv

GROUP = "the machine's limits"
PLAIN_READ = "plain read() of the shards"
FANCY_INDEXING = "numpy fancy indexing"
DECODE = "bare OpenCV decode"
READ_BUFFER_BYTES = 256 << 10  # a larger buffer does not fit in the CPU's cache

_DISTRIBUTION = "chest-xray-pipeline"


def describe() -> dict[str, Any]:
    """Describes processor, memory, devices and versions, as `benchmark.json` holds them."""
    return {
        "processor": _processor(),
        "cores": num_cores(),
        "memory_gib": round(memory_bytes() / (1 << 30), 1),
        "load_before": os.getloadavg()[0],
        "platform": platform.platform(),
        "python": platform.python_version(),
        "keras_backend": keras.backend.backend(),
        "devices": keras.distribution.list_devices(),
        "packages": _package_versions(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _package_versions() -> dict[str, str]:
    """Versions of the installed packages that this project requires, those of its extras included.

    The tools of its developers are left out. Without an installed project, nothing is known.
    """
    try:
        requirements = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return {}
    names = {re.split(r"[^\w.-]", line)[0] for line in requirements if 'extra == "dev"' not in line}
    versions = {}
    for name in sorted(names, key=str.lower):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def raw_limits(shards: Sequence[Path], images: NDArray[np.uint8], batch_size: int) -> list[Measurement]:
    """Reading the shards, copying memory, and gathering batches by NumPy.

    Args:
        shards: files of raw records.
        images: uint8 (images, side, side, 1).
        batch_size: images per batch.
    """
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
    """Decoding images to gray with OpenCV alone, in as many threads as there are cores."""
    arrays = [np.frombuffer(image, np.uint8) for image in encoded]
    threads = num_cores()
    shares = [arrays[first::threads] for first in range(threads)]

    def decode_share(share: Sequence[NDArray[np.uint8]]) -> None:
        for image in share:
            cv2.imdecode(image, cv2.IMREAD_GRAYSCALE)

    def decode() -> int:
        with single_threaded_opencv(), ThreadPoolExecutor(threads) as pool:
            list(pool.map(decode_share, shares))
        return len(arrays)

    return Measurement(GROUP, DECODE, meter(decode), {"threads": threads})
