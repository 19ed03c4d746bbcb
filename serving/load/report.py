"""The table, the JSON and the picture of a load test."""

import json
import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.table import Table

from serving.load.clients import Answers

PERCENTILES = (50, 90, 99)
_DOTS_PER_INCH = 120


def summary(answers: Answers, images_per_request: int, bare: float | None) -> dict[str, Any]:
    """The figures; seconds are wall time, latencies milliseconds.

    Args:
        answers: of the clients.
        images_per_request: how many images each request had.
        bare: images per second of the bare function; None if it was not timed.
    """
    rate = answers.rate * images_per_request
    figures: dict[str, Any] = {
        "seconds": round(answers.seconds, 2),
        "requests": len(answers.latencies),
        "errors": sum(answers.errors.values()),
        "errors_by_kind": dict(answers.errors),
        "images_per_second": round(rate, 1),
    }
    for percent in PERCENTILES:
        latency = 1000 * answers.percentile(percent)
        figures[f"p{percent}_ms"] = None if math.isnan(latency) else round(latency, 1)
    if bare is not None:
        figures["bare_images_per_second"] = round(bare, 1)
        figures["of_bare"] = round(rate / bare, 3)
    return figures


def print_table(settings: dict[str, Any], figures: dict[str, Any]) -> None:
    """Prints what was asked and what came back to stdout."""
    table = Table(title=", ".join(f"{name} {value}" for name, value in settings.items() if value is not None))
    table.add_column("what")
    table.add_column("measured", justify="right")
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), str(value))
    Console().print(table)


def write(path: Path, settings: dict[str, Any], figures: dict[str, Any], answers: Answers) -> None:
    """Writes PATH (JSON), and beside it a picture of the latencies over time and their distribution."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"settings": settings, "figures": figures}, indent=2) + "\n")
    _draw(answers, path.with_suffix(".png"))


def _draw(answers: Answers, path: Path) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    milliseconds = 1000 * answers.latencies
    figure, (over_time, distribution) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    over_time.plot(answers.finished, milliseconds, ".", markersize=2, alpha=0.4)
    over_time.set(xlabel="seconds since the first request", ylabel="latency, ms", ylim=(0, None))
    shares = 100 * (np.arange(len(milliseconds)) + 1) / max(1, len(milliseconds))
    distribution.plot(np.sort(milliseconds), shares)
    distribution.set(xlabel="latency, ms", ylabel="answers no later, %", xlim=(0, None), ylim=(0, 100))
    figure.suptitle(f"{answers.rate:.0f} answers/s, {sum(answers.errors.values())} errors")
    figure.savefig(path, dpi=_DOTS_PER_INCH)
    plt.close(figure)
