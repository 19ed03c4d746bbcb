"""One line of what was measured."""

import dataclasses
from typing import Any

from pipeline.benchmark.timing import Rates


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


def skipped(group: str, name: str, why: str) -> Result:
    """What was not measured, and why."""
    return Result(group, name, None, details={"skipped": why})
