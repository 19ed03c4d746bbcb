"""Shows how far long work is: a bar on a terminal, plain lines elsewhere."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

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


class StepBar:
    """A bar of work that tells itself how far it is, for loops that belong to a library.

    It shows on stderr, only if that is a terminal. Nothing is left of it when it is closed, so that lines of
    a log can follow.

    Args:
        total: number of steps.
        what: the work, as in `epoch 3 of 30`.
        steps_after: number of steps that follow these, in other bars. The time that is left counts them.
    """

    def __init__(self, total: int, what: str, steps_after: int = 0) -> None:
        console = Console(stderr=True)
        self._steps_after = steps_after
        self._began = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} steps, {task.fields[rate]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal or console.is_dumb_terminal,
        )
        self._task = self._bar.add_task(what, total=total, rate="")
        self._total = total
        self._bar.start()

    def update(self, done: int) -> None:
        """Shows that so many steps are done."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = done / seconds
        left = timedelta(seconds=round((self._total + self._steps_after - done) / rate)) if done else "?"
        self._bar.update(self._task, completed=done, rate=f"{rate:.1f} a second, {left} left")

    def close(self) -> None:
        """Takes the bar away."""
        self._bar.stop()
