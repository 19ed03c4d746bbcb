"""Shows how far long work is: a bar on a terminal, plain lines elsewhere."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

ItemT = TypeVar("ItemT")

SECONDS_BETWEEN_LINES = 10.0

logger = logging.getLogger(__name__)


def progress(
    items: Iterable[ItemT], total: int, what: str, *, quiet_if_quick: bool = False
) -> Iterator[ItemT]:
    """Passes `items` on, and shows on stderr how many of them are done, how fast, and what time is left.

    Args:
        items: the results of the work, or its parts.
        total: number of items.
        what: the work, as in `building`; it begins each line.
        quiet_if_quick: writes no line about work that takes less than SECONDS_BETWEEN_LINES.
    """
    if sys.stderr.isatty():
        # Redirected, what is written to stdout meanwhile would go to stderr instead of a file or a pipe.
        with Progress(console=Console(stderr=True), redirect_stdout=sys.stdout.isatty()) as bar:
            yield from bar.track(items, total, description=what)
        return
    began = last_line = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        is_last_line = done == total and not (quiet_if_quick and last_line == began)
        if is_last_line or now - last_line >= SECONDS_BETWEEN_LINES:
            rate = done / max(now - began, 1e-9)
            left = (total - done) / rate
            logger.info("%s: %d of %d, %.0f per second, %.0f s left", what, done, total, rate, left)
            last_line = now
