"""What is measured, and what came out."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from pipeline.benchmark.timing import Meter, Rates, Timer


@dataclasses.dataclass(frozen=True)
class Result:
    """A rate, and what else is known of it."""

    group: str
    """The table that it belongs to."""
    name: str
    rates: Rates | None
    """In units a second; None if it was not measured."""
    unit: str = "images/s"
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Further figures, or under `skipped` why it was not measured."""

    def as_json(self) -> dict[str, Any]:
        """For `benchmark.json`."""
        measured = self.rates and {
            "median": self.rates.median,
            "least": self.rates.least,
            "most": self.rates.most,
            "repeats": list(self.rates.values),
        }
        return {"group": self.group, "name": self.name, "unit": self.unit, **(measured or {}), **self.details}


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Something whose rate can be measured."""

    group: str
    """The table that it belongs to."""
    name: str
    meter: Meter
    """Of images a second."""
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What else is known of it."""


def in_turn(timer: Timer, measurements: Sequence[Measurement]) -> list[Result]:
    """Measures all of them, one repeat of each in every round."""
    rates = timer.in_turn([measurement.meter for measurement in measurements])
    return [
        Result(measurement.group, measurement.name, measured, details=measurement.details)
        for measurement, measured in zip(measurements, rates, strict=True)
    ]


def by_group(results: Sequence[Result]) -> list[Result]:
    """The same, with those of one group beside each other."""
    groups = list(dict.fromkeys(result.group for result in results))
    return sorted(results, key=lambda result: groups.index(result.group))


def skipped(group: str, name: str, why: str) -> Result:
    """What was not measured, and why."""
    return Result(group, name, None, details={"skipped": why})
