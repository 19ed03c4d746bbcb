"""How a rate is measured: repeats of a given length, each after a burn-in, with their median and range.

Things that are compared are measured alternately, each once in every round. Other work on the machine and the
clock of a warm processor change the rate within seconds by more than the differences that are looked for, and
so change all rates of a round alike.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence

Meter = Callable[[float], float]
"""Works for a burn-in and then for about the given number of seconds; returns units per second."""

BURN_IN = 0.2
"""Length of the burn-in, as a fraction of the repeat. It wakes threads, fills buffers and refills caches."""
IDLE_SECONDS = 0.05
IDLE_LOAD = 0.1
"""A process that uses less than this fraction of one core is idle."""
MAX_IDLE_WAIT_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Rates:
    """Units per second of every repeat."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the repeats."""
        return statistics.median(self.values)

    @property
    def least(self) -> float:
        """Rate of the slowest repeat."""
        return min(self.values)

    @property
    def most(self) -> float:
        """Rate of the fastest repeat."""
        return max(self.values)

    def over(self, others: "Rates") -> float:
        """How many times as fast as others: the median of the ratio in every round."""
        ratios = [ours / theirs for ours, theirs in zip(self.values, others.values, strict=True)]
        return statistics.median(ratios)


@dataclasses.dataclass(frozen=True)
class Timer:
    """How often and how long each rate is measured.

    Raises:
        ValueError: if no time would be measured.
    """

    repeats: int = 5
    """Number of times that each rate is measured, after one time that is not counted."""
    seconds: float = 1.0
    """Approximate length of each measurement, in seconds."""

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ValueError(f"repeats must be at least 1. Received: {self.repeats}")
        if self.seconds <= 0:
            raise ValueError(f"seconds must be positive. Received: {self.seconds}")

    def measure_all(self, meters: Sequence[Meter]) -> list[Rates]:
        """The rates of all meters, each called once per round."""
        rounds = [[self._measure(meter) for meter in meters] for _ in range(1 + self.repeats)]
        return [Rates(values) for values in zip(*rounds[1:], strict=True)]

    def _measure(self, meter: Meter) -> float:
        _wait_until_idle()
        return meter(self.seconds)


def meter(work: Callable[[], int]) -> Meter:
    """A meter of `work`, which is called again and again and returns how many units it did."""

    def rate(seconds: float) -> float:
        _rate(work, BURN_IN * seconds)
        return _rate(work, seconds)

    return rate


def _wait_until_idle() -> None:
    """Waits until the threads of this process rest: what was measured before may still fill its buffers."""
    deadline = time.monotonic() + MAX_IDLE_WAIT_SECONDS
    while time.monotonic() < deadline:
        before = time.process_time()
        time.sleep(IDLE_SECONDS)
        if time.process_time() - before < IDLE_LOAD * IDLE_SECONDS:
            return


def _rate(work: Callable[[], int], seconds: float) -> float:
    units, began = 0, time.perf_counter()
    while True:
        units += work()
        elapsed = time.perf_counter() - began
        if elapsed >= seconds:
            return units / elapsed
