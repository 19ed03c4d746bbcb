"""`python -m pipeline.benchmark [RECORDS]`: how fast the input and the training are on this machine."""

import dataclasses
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro
from rich.console import Console

from pipeline.benchmark import comparisons, goodput, input_stages, machine, peers, report, samples, train_step
from pipeline.benchmark.result import Measurement, Result, by_group, in_turn
from pipeline.benchmark.timing import Timer
from tfrecords_builder.cli.command import run
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.preprocessing import Preprocessing

Stage = Literal["limits", "input", "step", "goodput"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """Measures input, training step, and both together, against the limits of the machine.

    Raises:
        ValueError: for settings that measure nothing.
    """

    records: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="RECORDS")] = None
    """Folder of records whose `train` split is used; without it synthetic ones are made and removed again."""
    batch_sizes: tuple[int, ...] = (32,)
    """Images a step; the input is measured with the largest, goodput and PyTorch's step with the first."""
    image_size: int = 224
    """Side of the synthetic images that the input is measured on, in pixels."""
    step_image_size: int = 64
    """Side of the synthetic images that are trained on, in pixels."""
    images: int = 4096
    """Synthetic images."""
    timer: Annotated[Timer, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Timer)
    stages: tuple[Stage, ...] = STAGES
    """What is measured."""
    peers: bool = False
    """Measure what else is installed of the extra `peers` on the same images."""
    output: str = "benchmark"
    """Folder that `benchmark.json` and `benchmark.png` are written to."""

    def __post_init__(self) -> None:
        if not self.batch_sizes or min(self.batch_sizes) < 1:
            raise ValueError(f"batch_sizes must be at least 1, one or more. Received: {self.batch_sizes}")
        if not self.stages:
            raise ValueError(f"stages must be some of {STAGES}. Received: {self.stages}")
        if self.images < max(self.batch_sizes):
            raise ValueError(f"images must be at least {max(self.batch_sizes)}. Received: {self.images}")
        for side in (self.image_size, self.step_image_size):
            Preprocessing(image_size=side)  # raises for a size that no record has


def measure(config: BenchmarkConfig, folder: Path) -> list[Result]:
    """Everything that was asked for, in a scratch folder."""
    if config.records is None:
        large = samples.synthetic(config.images, config.image_size, folder / "large")
        small = samples.synthetic(config.images, config.step_image_size, folder / "small")
    else:
        large = small = samples.from_records(config.records, folder / "given")
    timer, first_batch_size = config.timer, config.batch_sizes[0]
    parts: list[Callable[[list[Result]], list[Result]]] = []
    if {"limits", "input"} & set(config.stages):
        parts.append(lambda _: _measure_input(config, large, folder))
    if "step" in config.stages:
        parts.append(lambda _: train_step.measure(timer, config.batch_sizes, small.side))
        if config.peers:
            parts.append(lambda _: peers.measure_step(timer, first_batch_size, small.side))
    if "goodput" in config.stages:
        parts.append(lambda before: goodput.measure(timer, small, first_batch_size, before))
    results: list[Result] = []
    for part in progress(parts, len(parts), "measuring"):
        results += part(results)
    return results


def _measure_input(config: BenchmarkConfig, images: samples.Samples, folder: Path) -> list[Result]:
    """Limits, stages and peers that read records in turn; then the peers that read image files.

    Those decode for seconds ahead, and would slow what comes after them.
    """
    batch_size = max(config.batch_sizes)
    measurements: list[Measurement] = []
    if "limits" in config.stages:
        measurements += machine.raw_limits(images.shards(images.raw), images.images, batch_size)
        measurements.append(machine.decode_limit(samples.jpegs(images.images)))
    if "input" in config.stages:
        measurements += input_stages.measurements(images, batch_size)
    if not config.peers:
        return by_group(in_turn(config.timer, measurements))
    scratch = folder / "peers"
    scratch.mkdir()
    source = peers.source(images, batch_size, scratch)
    of_records, missing = peers.prepare(peers.ON_RECORDS, source)
    results = in_turn(config.timer, measurements + of_records) + missing
    of_files, missing = peers.prepare(peers.ON_FILES, source)
    for measurement in of_files:
        results += in_turn(config.timer, [measurement])
    return by_group(results + missing)


def main(config: BenchmarkConfig) -> None:
    """Measures, prints the tables and writes the files."""
    described = machine.describe()
    about = {
        "command": shlex.join(["python", "-m", "pipeline.benchmark", *sys.argv[1:]]),
        "machine": described,
        "settings": dataclasses.asdict(config),
    }
    with tempfile.TemporaryDirectory() as folder:
        results = measure(config, Path(folder))
    ratios = comparisons.compare(results)
    report.print_tables(Console(), results, ratios)
    title = f"{described['processor']}, {described['cores']} cores; {', '.join(described['devices'])}"
    report.write(Path(config.output), report.to_json(about, results, ratios), report.picture(results, title))
    print(Path(config.output) / report.JSON)  # noqa: T201


if __name__ == "__main__":
    run(main, BenchmarkConfig, "python -m pipeline.benchmark")
