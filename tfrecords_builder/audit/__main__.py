"""`python -m tfrecords_builder.audit SOURCE`: what to know of a folder of X-rays before any training.

Who is in several splits, what is there twice, what cannot be used, and what tells the classes apart without
any medicine. Findings are no error: the exit code is 0.
"""

import dataclasses
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import cv2
import tyro
from rich.console import Console

from tfrecords_builder.audit import report
from tfrecords_builder.audit.findings import Audit, find
from tfrecords_builder.audit.measurements import HASH_BITS, measure
from tfrecords_builder.cli.command import run
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.errors import UserError
from tfrecords_builder.source.folders import find_images

JSON_NAME = "audit.json"
PAGE_NAME = "audit.html"
MOST_NEAR_DISTANCE = HASH_BITS // 4
"""Beyond it, hundreds of different children look alike."""


@dataclasses.dataclass(frozen=True)
class AuditConfig:
    """Reports leakage, duplicates, anomalies and shortcuts in chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}.

    Raises:
        ValueError: for settings that audit nothing.
    """

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    """Folder of images; also as the Kaggle archive unpacks it. Its splits are audited as they are."""
    output: str = "audit"
    """Folder to write audit.json and audit.html to."""
    near_distance: int = 24
    """Bits of 256, 0 to 64: images whose perceptual hashes differ in this many or fewer are near-identical.
    Recompressing, scaling or a gamma of 0.8 to 1.3 changed 20 at most in 200 X-rays of the public dataset,
    cropping 1 % of the border 30; the closest two of its images that are no copies are 38 apart."""
    shown: int = 24
    """Findings of each kind that audit.html shows; audit.json has all."""
    workers: int = os.cpu_count() or 1
    """Threads that read images."""

    def __post_init__(self) -> None:
        if not 0 <= self.near_distance <= MOST_NEAR_DISTANCE:
            raise ValueError(
                f"near_distance must be 0 to {MOST_NEAR_DISTANCE} bits. Received: {self.near_distance}"
            )
        if self.shown < 0:
            raise ValueError(f"shown must not be negative. Received: {self.shown}")
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1. Received: {self.workers}")


def audit(config: AuditConfig) -> Audit:
    """Audits the folder and writes the report.

    Returns:
        What `audit.json` holds.

    Raises:
        UserError: if the source has no usable images, or the report cannot be written.
    """
    cv2.setNumThreads(1)  # the workers are the threads
    images = find_images(config.source)
    output = _make_folder(config.output)
    with ThreadPoolExecutor(config.workers) as pool:
        work = pool.map(functools.partial(measure, config.source), images)
        results = list(progress(work, len(images), "auditing"))
    found = find(config.source, images, results, config.near_distance)
    _write(output / JSON_NAME, report.to_json(found))
    _write(output / PAGE_NAME, report.render(found, config.shown, config.workers))
    return found


def _make_folder(name: str) -> Path:
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make the folder {name!r} for the report: {error.strerror}; name another with --output"
        ) from None
    return folder


def _write(path: Path, text: str) -> None:
    """Writes a file under a temporary name and renames it, so that nobody sees half of it."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # File names need not be UTF-8: what cannot be written of them is shown as \udc80 and the like.
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")
        unfinished.replace(path)
    except OSError as error:
        raise UserError(
            f"cannot write {str(path)!r}: {error.strerror}; name another folder with --output"
        ) from None
    finally:
        unfinished.unlink(missing_ok=True)


def main(config: AuditConfig) -> None:
    """Audits and prints a summary."""
    found = audit(config)
    console = Console()
    for table in report.tables(found):
        console.print(table)
    for note in report.notes(found):
        console.print(note)
    print(Path(config.output) / PAGE_NAME)  # noqa: T201


if __name__ == "__main__":
    run(main, AuditConfig, "python -m tfrecords_builder.audit")
