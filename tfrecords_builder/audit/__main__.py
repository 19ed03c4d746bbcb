"""`python -m tfrecords_builder.audit SOURCE`: what to know about X-rays before any training.

It reports patients in several splits, duplicates, unusable images, and what distinguishes the classes without
any medicine. The exit code is 0 whatever it finds.
"""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from tfrecords_builder.audit.measurements import HASH_BITS
from tfrecords_builder.cli.command import run
from tfrecords_builder.cli.options import optional
from tfrecords_builder.errors import UserError
from tfrecords_builder.source.settings import SourceOptions

if TYPE_CHECKING:
    from tfrecords_builder.audit.findings import Audit

MAX_NEAR_DISTANCE = HASH_BITS // 4
"""With a larger distance, hundreds of different children look alike."""


@dataclasses.dataclass(frozen=True)
class AuditConfig:
    """Reports problems of a folder or a table of X-rays that you should know before training.

    It looks for patients in several splits, duplicates, odd images, and differences between the classes that
    have nothing to do with lungs (shortcuts).

    Raises:
        ValueError: if a setting is out of range.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """Folder with {train,val,test}/{NORMAL,PNEUMONIA}, or the folder that the Kaggle archive unpacks to, or a
    table that lists the images (.csv, .tsv, .txt, each also with .gz, or .parquet)."""
    reading: Annotated[SourceOptions, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=SourceOptions
    )
    output: str = "audit"
    """Folder to write audit.json and audit.html into."""
    near_distance: int = 24
    """Two images are near-identical if their perceptual hashes of 256 bits differ in at most this many bits,
    0 to 64. The default finds copies that were recompressed, scaled, or made a little brighter or darker."""
    shown: int = 24
    """Number of findings of each kind that audit.html shows, at least 0. audit.json has all of them."""
    workers: int = os.cpu_count() or 1
    """Number of threads that read images, at least 1; by default one per core."""
    sizes: Annotated[str, optional("FILE")] = ""
    """CSV table of the sizes that the images had before somebody resized all of them to one shape, with the
    columns file (path relative to SOURCE), width and height in pixels. The report then says whether the
    original aspect ratio gives the class away, and how well the pixels still show it."""

    def __post_init__(self) -> None:
        if not 0 <= self.near_distance <= MAX_NEAR_DISTANCE:
            raise ValueError(
                f"near_distance must be 0 to {MAX_NEAR_DISTANCE} bits. Received: {self.near_distance}"
            )
        if self.shown < 0:
            raise ValueError(f"shown must not be negative. Received: {self.shown}")
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1. Received: {self.workers}")


def audit(config: AuditConfig) -> "Audit":
    """Audits the source and writes the report.

    Returns:
        The content of `audit.json`.

    Raises:
        UserError: if the source cannot be read, the folder of the report holds other files, or it cannot be
            written.
    """
    from tfrecords_builder.audit import report
    from tfrecords_builder.audit.findings import audit_images
    from tfrecords_builder.ownership import refuse_unknown_files
    from tfrecords_builder.source.find import find_source_images

    refuse_unknown_files(config.output, report.OWNED_FILES)
    source = find_source_images(config.source, config.reading)
    _make_folder(config.output)
    found = audit_images(config.source, source, config.near_distance, config.workers, config.sizes)
    report.write(found, config.output, config.shown, config.workers)
    return found


def _make_folder(name: str) -> None:
    try:
        Path(name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make the folder {name!r} for the report: {error.strerror}; name another with --output"
        ) from None


def main(config: AuditConfig) -> None:
    """Audits the source and prints a summary and the path of the page."""
    from tfrecords_builder.audit.report import PAGE_NAME
    from tfrecords_builder.audit.tables import notes, tables

    found = audit(config)
    console = Console()
    for table in tables(found):
        console.print(table)
    for note in notes(found):
        console.print(note)
    print(Path(config.output) / PAGE_NAME)  # noqa: T201


if __name__ == "__main__":
    run(main, AuditConfig, "python -m tfrecords_builder.audit")
