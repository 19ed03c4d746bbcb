"""`python -m tfrecords_builder.benchmark SOURCE`: how close the builder comes to what OpenCV alone can do.

The bare loop decodes, crops and resizes with the same threads and does nothing else; the builder also checks
headers, hashes the files, serializes, writes and hashes the shards.
"""

import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import cv2
import tyro
from rich.console import Console
from rich.table import Table

from tfrecords_builder.building.build import build
from tfrecords_builder.building.settings import BuildConfig
from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.preprocessing import Preprocessing
from tfrecords_builder.source.folders import find_images


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """Times the build of a folder of X-rays against a bare loop of OpenCV, with 1 thread and with all.

    Raises:
        ValueError: for settings that time nothing.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """Folder of images."""
    preprocessing: Annotated[Preprocessing, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Preprocessing
    )
    workers: int = os.cpu_count() or 1
    """Threads."""
    repeats: int = 5
    """Times that each is timed, in turn; one more before them only warms up."""

    def __post_init__(self) -> None:
        if min(self.workers, self.repeats) < 1:
            raise ValueError(
                f"workers and repeats must be at least 1. Received: {self.workers}, {self.repeats}"
            )


def measure(config: BenchmarkConfig) -> dict[str, list[float]]:
    """Images per second of every repeat, by what was timed."""
    images = [str(Path(config.source) / image.source) for image in find_images(config.source)]
    timed: dict[str, Callable[[], object]] = {}
    for workers in sorted({1, config.workers}):
        timed[f"bare OpenCV, {workers}"] = lambda workers=workers: _bare(images, config, workers)  # type: ignore[misc]
        timed[f"build, {workers}"] = lambda workers=workers: _build(config, workers)  # type: ignore[misc]
    rates: dict[str, list[float]] = {name: [] for name in timed}
    turns = [name for _ in range(config.repeats + 1) for name in timed]
    for turn, name in enumerate(progress(turns, len(turns), "timing")):
        began = time.perf_counter()
        timed[name]()
        if turn >= len(timed):
            rates[name].append(len(images) / (time.perf_counter() - began))
    return rates


def _bare(images: list[str], config: BenchmarkConfig, workers: int) -> None:
    def decode_crop_resize(path: str) -> None:
        config.preprocessing.crop_and_resize(cv2.imread(path, cv2.IMREAD_GRAYSCALE))  # type: ignore[arg-type]

    cv2.setNumThreads(1)
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(decode_crop_resize, images):
            pass


def _build(config: BenchmarkConfig, workers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        build(BuildConfig(config.source, folder, config.preprocessing, workers=workers))


def main(config: BenchmarkConfig) -> None:
    """Prints medians, spreads and ratios."""
    startup.load_tensorflow()
    rates = measure(config)
    table = Table()
    for heading in ("what, threads", "images/s, median", "least to most", "of the bare loop"):
        table.add_column(heading, justify="left" if heading.startswith("what") else "right")
    for name, values in rates.items():
        spread = f"{min(values):.0f} to {max(values):.0f}"
        of_bare = _median_ratio(values, rates[name.replace("build", "bare OpenCV")])
        table.add_row(name, f"{statistics.median(values):.0f}", spread, f"{of_bare:.2f}")
    console = Console()
    console.print(table)
    if config.workers > 1:
        speedup = _median_ratio(rates[f"build, {config.workers}"], rates["build, 1"])
        console.print(f"{config.workers} threads build {speedup:.2f} times as fast as one")


def _median_ratio(rates: list[float], others: list[float]) -> float:
    """Of each turn, so that a machine whose speed drifts, as shared ones do, does not show."""
    return statistics.median(rate / other for rate, other in zip(rates, others, strict=True))


if __name__ == "__main__":
    run(main, BenchmarkConfig, "python -m tfrecords_builder.benchmark")
