"""Reads the resident memory of a server on this machine during a load test. It needs Linux."""

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
"""Seconds since the first reading, and resident memory in MiB."""


def resident_mib(pid: int) -> float:
    """Resident memory of a process, in MiB.

    Raises:
        UserError: if there is no such process on this machine, or this is not Linux.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        (kib,) = (line.split()[1] for line in lines if line.startswith("VmRSS:"))
    except (OSError, ValueError):
        raise UserError(
            f"cannot read the memory of process {pid}: give the process ID of a server on this machine "
            "(Linux only)"
        ) from None
    return int(kib) / _KIB_PER_MIB


@contextlib.contextmanager
def memory_readings(pid: int | None) -> Iterator[list[Reading]]:
    """Lends a list to which the memory of a process is added: now, regularly, and when the block ends.

    Args:
        pid: process ID; None reads nothing.

    Raises:
        UserError: if the memory cannot be read at the beginning or at the end.
    """
    readings: list[Reading] = []
    if pid is None:
        yield readings
        return
    began, ended = time.monotonic(), threading.Event()

    def read() -> None:
        readings.append((round(time.monotonic() - began, 1), round(resident_mib(pid), 1)))
        logger.info("memory of the server after %.0f s: %.0f MiB", *readings[-1])

    def read_regularly() -> None:
        with contextlib.suppress(UserError):  # the server has ended; the last reading says so
            while not ended.wait(SECONDS_BETWEEN_READINGS):
                read()

    read()
    thread = threading.Thread(target=read_regularly, daemon=True)
    thread.start()
    try:
        yield readings
    finally:
        ended.set()
        thread.join()
    read()
