"""`python -m tfrecords_builder.verify RECORDS`: reads every byte of the records and prints what is wrong."""

import dataclasses
import logging
import os
from typing import Annotated

import tyro

from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run

EXIT_DAMAGED = 1

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class VerifyConfig:
    """Checks records: reads every byte of them and prints the faults, one per line.

    The exit code is 0 if there are none, and 1 if there are some.

    Raises:
        ValueError: if a setting is out of range.
    """

    records: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECORDS")]
    """Folder of records that `python -m tfrecords_builder` built; a path or a URL."""
    workers: int = os.cpu_count() or 1
    """Number of threads, by default one per core. Each reads one shard at a time."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1. Received: {self.workers}")


def main(config: VerifyConfig) -> int:
    """Prints the faults, one per line, or that there are none. Returns the exit code."""
    from tfrecords_builder.record_checks import find_faults

    faults = find_faults(config.records, config.workers)
    for fault in faults:
        print(fault)  # noqa: T201
    if faults:
        logger.error("%d faults in %s: build the records anew with --overwrite", len(faults), config.records)
        return EXIT_DAMAGED
    print(f"{config.records}: no faults")  # noqa: T201
    return 0


if __name__ == "__main__":
    run(main, VerifyConfig, "python -m tfrecords_builder.verify", load=startup.load_tensorflow)
