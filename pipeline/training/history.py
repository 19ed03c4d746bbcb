"""The metrics of each completed epoch: the table `history.csv`, and what they say about the training."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence

from pipeline import runs
from tfrecords_builder import storage
from tfrecords_builder.errors import UserError

Row = dict[str, float]
"""The metrics of one epoch by their names, with its number (counted from 1) and its seconds."""


def write(run: str, history: Sequence[Row]) -> None:
    """Writes `history.csv`, one row for each epoch."""
    storage.write(storage.join(run, runs.HISTORY), storage.to_csv(history))


def read(run: str) -> list[Row]:
    """Reads `history.csv`; empty if there is none."""
    path = storage.join(run, runs.HISTORY)
    rows = csv.DictReader(storage.read(path).splitlines()) if storage.exists(path) else []
    return [{name: float(value) for name, value in row.items()} for row in rows]


def epochs_without_better(history: Sequence[Mapping[str, float]], monitor: str) -> int:
    """The number of epochs since the one with the smallest value of the metric `monitor`."""
    values = [row[monitor] for row in history]
    return len(values) - 1 - values.index(min(values)) if values else 0


class LostLossError(UserError):
    """The loss of a training is no longer a number."""


def refuse_lost_loss(values: Iterable[float], epoch: int) -> None:
    """Ends a training whose loss is no longer a number.

    Args:
        values: the loss, or what it is computed from.
        epoch: number of the epoch, counted from 1.

    Raises:
        LostLossError: if one of the values is not finite.
    """
    if not all(map(math.isfinite, values)):
        raise LostLossError(
            f"the loss became NaN in epoch {epoch}, and no training recovers from that: "
            "use a smaller --learning-rate or --precision float32, with --overwrite or another folder"
        )
