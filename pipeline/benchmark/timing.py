"""How something is timed: a burn-in, then repeats of a given length, of which median and spread are kept."""

import dataclasses
import statistics
import time
from collections.abc import Callable


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


@dataclasses.dataclass(frozen=True)
class Timer:
    """How often and how long each measurement is repeated.

    Raises:
        ValueError: for settings that time nothing.
    """

    repeats: int = 5
    """Measurements of each, after a burn-in that is not counted."""
    seconds: float = 1.0
    """Each measurement lasts at least this long."""

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ValueError(f"repeats must be at least 1. Received: {self.repeats}")
        if self.seconds <= 0:
            raise ValueError(f"seconds must be positive. Received: {self.seconds}")

    def rates(self, work: Callable[[], int]) -> Rates:
        """Times `work`, which returns how many units it did, and is called until the seconds are over."""
        self._once(work)
        return Rates(tuple(self._once(work) for _ in range(self.repeats)))

    def _once(self, work: Callable[[], int]) -> float:
        done, began = 0, time.perf_counter()
        while True:
            done += work()
            elapsed = time.perf_counter() - began
            if elapsed >= self.seconds:
                return done / elapsed
