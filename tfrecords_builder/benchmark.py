"""`python -m tfrecords_builder.benchmark SOURCE`: compares the speed of the builder with OpenCV alone.

OpenCV alone decodes, crops and resizes with the same number of threads, and does nothing else. The builder
also checks headers, hashes the files, serializes records, and writes and hashes the shards.
"""

import dataclasses
import itertools
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal

import cv2
import tyro
from rich.console import Console
from rich.table import Table

from tfrecords_builder.building.settings import BuildConfig
from tfrecords_builder.cli.command import run
from tfrecords_builder.decoding.threads import single_threaded_opencv
from tfrecords_builder.preprocessing import Preprocessing
from tfrecords_builder.source.find import find_source_images
from tfrecords_builder.source.images import image_path

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """Compares the speed of the builder with that of OpenCV alone, in one thread and in several.

    Raises:
        ValueError: if a setting is out of range.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """Folder with {train,val,test}/{NORMAL,PNEUMONIA}, or the folder that the Kaggle archive unpacks to."""
    preprocessing: Annotated[Preprocessing, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=Preprocessing
    )
    lungs: Literal["none", "auto"] = "none"
    """Whether the builder also draws lung masks, as it does by default (`auto`), or not."""
    workers: int = os.cpu_count() or 1
    """Number of threads to compare with one thread; by default one per core."""
    repeats: int = 5
    """Number of times that the builder and OpenCV are timed, in turn, after one untimed run."""

    def __post_init__(self) -> None:
        if min(self.workers, self.repeats) < 1:
            raise ValueError(
                f"workers and repeats must be at least 1. Received: {self.workers}, {self.repeats}"
            )


@dataclasses.dataclass(frozen=True)
class Rates:
    """Images per second of every repeat, with one number of threads."""

    opencv: list[float] = dataclasses.field(default_factory=list)
    build: list[float] = dataclasses.field(default_factory=list)


def measure(config: BenchmarkConfig) -> dict[int, Rates]:
    """Times OpenCV alone and the builder, alternately.

    Returns:
        The rates, by number of threads.

    Raises:
        UserError: if the source cannot be read.
    """
    found = find_source_images(config.source)
    images = [image_path(found.folder, image.source) for image in found.images]
    rates = {workers: Rates() for workers in sorted({1, config.workers})}
    for repeat, workers in itertools.product(range(config.repeats + 1), rates):
        logger.info("repeat %d of %d, threads: %d", repeat, config.repeats, workers)
        opencv = _seconds(_run_opencv, images, config, workers)
        build = _seconds(_run_build, config, workers)
        if repeat > 0:  # the repeat before the first only warms up
            rates[workers].opencv.append(len(images) / opencv)
            rates[workers].build.append(len(images) / build)
    return rates


def _seconds(function: Callable[..., None], *args: object) -> float:
    began = time.perf_counter()
    function(*args)
    return time.perf_counter() - began


def _run_opencv(images: Sequence[str], config: BenchmarkConfig, workers: int) -> None:
    def decode_crop_resize(path: str) -> None:
        config.preprocessing.crop_and_resize(cv2.imread(path, cv2.IMREAD_GRAYSCALE))  # type: ignore[arg-type]

    with single_threaded_opencv(), ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(decode_crop_resize, images):
            pass


def _run_build(config: BenchmarkConfig, workers: int) -> None:
    from tfrecords_builder.building.build import build

    with tempfile.TemporaryDirectory() as folder:
        build(BuildConfig(config.source, folder, config.preprocessing, lungs=config.lungs, workers=workers))


def main(config: BenchmarkConfig) -> None:
    """Prints the rates, and how much faster several threads are."""
    rates = measure(config)
    table = Table(title="Images per second")
    for heading in ("threads", "measured", "median", "lowest", "highest", "relative to OpenCV"):
        table.add_column(heading, justify="left" if heading == "measured" else "right")
    for workers, of_workers in rates.items():
        for name, values in (("OpenCV alone", of_workers.opencv), ("builder", of_workers.build)):
            figures = (statistics.median(values), min(values), max(values))
            relative = _median_ratio(values, of_workers.opencv)
            table.add_row(str(workers), name, *(f"{figure:.0f}" for figure in figures), f"{relative:.2f}")
    console = Console()
    console.print(table)
    if config.workers > 1:
        speedup = _median_ratio(rates[config.workers].build, rates[1].build)
        console.print(
            f"with {config.workers} threads, the builder is {speedup:.2f} times as fast as with one"
        )


def _median_ratio(rates: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios within each repeat, in which the drift of a shared machine's speed cancels."""
    return statistics.median(rate / other for rate, other in zip(rates, others, strict=True))


if __name__ == "__main__":
    run(main, BenchmarkConfig, "python -m tfrecords_builder.benchmark")
