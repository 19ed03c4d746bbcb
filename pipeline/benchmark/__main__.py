"""`python -m pipeline.benchmark [RECORDS]`: measures how fast this machine reads and trains."""

import dataclasses
import shlex
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from pipeline.benchmark.options import BenchmarkConfig
from tfrecords_builder import storage
from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run
from tfrecords_builder.ownership import refuse_unknown_files


def main(config: BenchmarkConfig) -> None:
    """Measures, prints the tables, writes the files and prints where they are."""
    from pipeline.benchmark import comparisons, machine, report, stages

    refuse_unknown_files(config.output, report.FILES)
    storage.check_writable(config.output)
    description = machine.describe()
    about = {
        "command": shlex.join(["python", "-m", "pipeline.benchmark", *sys.argv[1:]]),
        "machine": description,
        "settings": dataclasses.asdict(config),
    }
    with tempfile.TemporaryDirectory() as folder:
        results = stages.measure(config, Path(folder))
    ratios = comparisons.compare(results)
    report.print_tables(Console(), results, ratios)
    title = f"{description['processor']}, {description['cores']} cores; {', '.join(description['devices'])}"
    report.write(config.output, report.to_json(about, results, ratios), report.chart(results, title))
    print(Path(config.output) / report.JSON)  # noqa: T201


if __name__ == "__main__":
    run(main, BenchmarkConfig, "python -m pipeline.benchmark", load=startup.load_keras)
