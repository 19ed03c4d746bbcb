"""How something is timed: repeats of a given length, each after a burn-in, with their median and spread.

What is compared is measured in turn, one repeat of each in every round: other work on the machine, and the
clock of a processor that warms up, change within seconds by more than what is looked for, and so slow all of
a round alike.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence

Meter = Callable[[float], float]
"""Measures how many units a second are done, over about the given seconds, after a burn-in."""

BURN_IN = 0.2
"""Before each repeat, as a fraction of it: threads wake up, buffers fill, caches forget what was before."""
IDLE_SECONDS = 0.05
IDLE_LOAD = 0.1
"""Of one core, below which a process is idle."""
IDLE_PATIENCE_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Rates:
    """How many units a second were done, in every repeat."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def least(self) -> float:
        """Of the slowest repeat."""
        return min(self.values)

    @property
    def most(self) -> float:
        """Of the fastest repeat."""
        return max(self.values)

    def over(self, others: "Rates") -> float:
        """How many times as fast as others: the median of the ratios of each round."""
        ratios = [ours / theirs for ours, theirs in zip(self.values, others.values, strict=True)]
        return statistics.median(ratios)


@dataclasses.dataclass(frozen=True)
class Timer:
    """How often and how long each measurement is repeated.

    Raises:
        ValueError: for settings that time nothing.
    """

    repeats: int = 5
    """Measurements of each, after one that is not counted."""
    seconds: float = 1.0
    """Each measurement lasts about this long."""

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ValueError(f"repeats must be at least 1. Received: {self.repeats}")
        if self.seconds <= 0:
            raise ValueError(f"seconds must be positive. Received: {self.seconds}")

    def in_turn(self, meters: Sequence[Meter]) -> list[Rates]:
        """Measures each once in every round."""
        rounds = [[self._one(meter) for meter in meters] for _ in range(1 + self.repeats)]
        return [Rates(values) for values in zip(*rounds[1:], strict=True)]

    def _one(self, meter: Meter) -> float:
        _wait_until_idle()
        return meter(self.seconds)


def meter(work: Callable[[], int]) -> Meter:
    """Of work that returns how many units it did, and is called until the seconds are over."""

    def rate(seconds: float) -> float:
        _rate(work, BURN_IN * seconds)
        return _rate(work, seconds)

    return rate


def _wait_until_idle() -> None:
    """Until the threads of this process rest: what was measured before may still fill its buffers."""
    deadline = time.monotonic() + IDLE_PATIENCE_SECONDS
    while time.monotonic() < deadline:
        before = time.process_time()
        time.sleep(IDLE_SECONDS)
        if time.process_time() - before < IDLE_LOAD * IDLE_SECONDS:
            return


def _rate(work: Callable[[], int], seconds: float) -> float:
    done, began = 0, time.perf_counter()
    while True:
        done += work()
        elapsed = time.perf_counter() - began
        if elapsed >= seconds:
            return done / elapsed
