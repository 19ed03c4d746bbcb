"""Measures the stages that were asked for, one after the other."""

from collections.abc import Callable
from pathlib import Path

from pipeline.benchmark import goodput, input_stages, machine, peers, samples, train_step
from pipeline.benchmark.options import BenchmarkConfig
from pipeline.benchmark.result import Measurement, Result, by_group, measure_all
from pipeline.benchmark.samples import Samples
from tfrecords_builder.cli.progress import progress


def measure(config: BenchmarkConfig, scratch: Path) -> list[Result]:
    """Measures everything that was asked for.

    Args:
        config: the settings.
        scratch: an empty folder for what is made for the measurements.
    """
    for_input, for_step = _samples(config, scratch)
    timer, first_batch_size = config.timer, config.batch_sizes[0]
    results: list[Result] = []
    steps: list[Callable[[], list[Result]]] = []
    if {"limits", "input"} & set(config.stages):
        steps.append(lambda: _measure_input(config, for_input, scratch))
    if "step" in config.stages:
        steps.append(lambda: train_step.measure(timer, config.batch_sizes, for_step.side))
        if config.peers:
            steps.append(lambda: peers.measure_step(timer, first_batch_size, for_step.side))
    if "goodput" in config.stages:
        steps.append(lambda: goodput.measure(timer, for_step, first_batch_size, results))
    for step in progress(steps, len(steps), "measuring"):
        results += step()
    return results


def _samples(config: BenchmarkConfig, scratch: Path) -> tuple[Samples, Samples]:
    """The images with which the input is measured, and those with which the training step is measured."""
    if config.records is not None:
        given = samples.from_records(config.records, scratch / "given")
        return given, given
    return (
        samples.synthetic(config.images, config.image_size, scratch / "input"),
        samples.synthetic(config.images, config.step_image_size, scratch / "step"),
    )


def _measure_input(config: BenchmarkConfig, images: Samples, scratch: Path) -> list[Result]:
    """Measures limits, input and peers that read records alternately, then each peer that reads image files.

    The latter decode for seconds ahead, and would slow down whatever is measured after them.
    """
    batch_size = max(config.batch_sizes)
    measurements: list[Measurement] = []
    if "limits" in config.stages:
        measurements += machine.raw_limits(images.shards(images.raw), images.images, batch_size)
        measurements.append(machine.decode_limit(samples.encode_jpegs(images.images)))
    if "input" in config.stages:
        measurements += input_stages.measurements(images, batch_size)
    if not config.peers:
        return by_group(measure_all(config.timer, measurements))
    peer_scratch = scratch / "peers"
    peer_scratch.mkdir()
    source = peers.source(images, batch_size, peer_scratch)
    of_records, not_installed = peers.prepare(peers.ON_RECORDS, source)
    results = measure_all(config.timer, measurements + of_records) + not_installed
    of_files, not_installed = peers.prepare(peers.ON_FILES, source)
    for measurement in of_files:
        results += measure_all(config.timer, [measurement])
    return by_group(results + not_installed)
