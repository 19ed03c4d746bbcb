"""Shows how far long work is: a bar on a terminal, plain lines elsewhere."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

ItemT = TypeVar("ItemT")

SECONDS_BETWEEN_LINES = 10.0

logger = logging.getLogger(__name__)


def progress(items: Iterable[ItemT], total: int, what: str) -> Iterator[ItemT]:
    """Passes `items` on, saying on stderr how many of `total` are done, how fast, and what time is left."""
    if sys.stderr.isatty():
        yield from track(items, description=what, total=total, console=Console(stderr=True))
        return
    began = last_line = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last_line >= SECONDS_BETWEEN_LINES or done == total:
            rate = done / max(now - began, 1e-9)
            left = (total - done) / rate
            logger.info("%s: %d of %d, %.0f per second, %.0f s left", what, done, total, rate, left)
            last_line = now
