"""The resident memory of a server on this machine, over time (Linux)."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tfrecords_builder.errors import UserError

SECONDS_BETWEEN_READINGS = 30.0
_KIB_PER_MIB = 1024

logger = logging.getLogger(__name__)

Reading = tuple[float, float]
"""Seconds since the first reading, and MiB."""


def resident_mib(pid: int) -> float:
    """Resident memory of a process.

    Raises:
        UserError: if there is no such process, or this system does not tell.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        (kib,) = (line.split()[1] for line in lines if line.startswith("VmRSS:"))
    except (OSError, ValueError):
        raise UserError(
            f"cannot read the memory of process {pid}: give the server's on this machine"
        ) from None
    return int(kib) / _KIB_PER_MIB


@contextlib.contextmanager
def watched(pid: int | None) -> Iterator[list[Reading]]:
    """Reads the memory of a process at once, from time to time, and at the end; None: of none."""
    readings: list[Reading] = []
    if pid is None:
        yield readings
        return
    began, ended = time.monotonic(), threading.Event()

    def read() -> None:
        readings.append((round(time.monotonic() - began, 1), round(resident_mib(pid), 1)))
        logger.info("after %.0f s: %.0f MiB", *readings[-1])

    def read_on() -> None:
        while not ended.wait(SECONDS_BETWEEN_READINGS):
            read()

    read()
    thread = threading.Thread(target=read_on, daemon=True)
    thread.start()
    yield readings
    ended.set()
    thread.join()
    read()
