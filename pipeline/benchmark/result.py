"""What is measured, and the results."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from pipeline.benchmark.timing import Meter, Rates, Timer

UNIT = "images/s"


@dataclasses.dataclass(frozen=True)
class Result:
    """A measured rate with its name."""

    group: str
    """Title of the table that it belongs to."""
    name: str
    rates: Rates | None
    """The rates in UNIT; None if nothing was measured."""
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Further figures, or under `skipped` the reason why nothing was measured."""

    def as_json(self) -> dict[str, Any]:
        """The result as `benchmark.json` holds it."""
        measured = self.rates and {
            "median": self.rates.median,
            "least": self.rates.least,
            "most": self.rates.most,
            "repeats": list(self.rates.values),
        }
        return {"group": self.group, "name": self.name, "unit": UNIT, **(measured or {}), **self.details}


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Something whose rate can be measured."""

    group: str
    """Title of the table that it belongs to."""
    name: str
    meter: Meter
    """Measures images per second."""
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Further figures."""


def measure_all(timer: Timer, measurements: Sequence[Measurement]) -> list[Result]:
    """The results of measurements that are compared: each is made once in every round."""
    rates = timer.measure_all([measurement.meter for measurement in measurements])
    return [
        Result(measurement.group, measurement.name, measured, details=measurement.details)
        for measurement, measured in zip(measurements, rates, strict=True)
    ]


def by_group(results: Sequence[Result]) -> list[Result]:
    """The results sorted by group, in the order in which the groups first appear."""
    groups = list(dict.fromkeys(result.group for result in results))
    return sorted(results, key=lambda result: groups.index(result.group))


def skipped(group: str, name: str, reason: str) -> Result:
    """A result that says why nothing was measured."""
    return Result(group, name, None, details={"skipped": reason})
