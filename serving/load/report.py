"""The figures of a load test, as a table, as JSON and as a picture."""

import io
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from serving.load.clients import Answers
from tfrecords_builder import storage
from tfrecords_builder.ownership import PNG_SIGNATURE, refuse_foreign_file, sign_png

PERCENTILES = (50, 90, 99)
_DOTS_PER_INCH = 120
_JSON_SIGNATURE = rb'\A\{\s*"settings": \{\s*"transport": '  # how `write` begins

_LABELS = {
    "loop": "when a client sends again",
    "mean kB": "mean size of an image, kB",
    "bare batch": "images in a batch without a server",
    "seconds": "seconds from the first request to the last answer",
    "requests": "requests that were answered",
    "errors": "requests that failed",
    "errors_by_kind": "errors by kind",
    "images_per_second": "images per second",
    "bare_images_per_second": "images per second without a server",
    "of_bare": "share of the images per second without a server",
    "server_mib": "resident memory of the server, MiB",
    **{f"p{percent}_ms": f"latency, {percent}th percentile, ms" for percent in PERCENTILES},
}
"""Names in the table for settings and figures whose keys in the JSON file say too little."""
_CLOSED_LOOP, _OPEN_LOOP = "closed", "open at "


def summary(answers: Answers, images_per_request: int, rate_without_server: float | None) -> dict[str, Any]:
    """The figures of a load test. Seconds are wall time; latencies are in milliseconds.

    Args:
        answers: what the server answered.
        images_per_request: number of images in each request.
        rate_without_server: images per second that the exported function answers in this process; None if
            it was not timed.
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
    if rate_without_server is not None:
        figures["bare_images_per_second"] = round(rate_without_server, 1)
        figures["of_bare"] = round(rate / rate_without_server, 3)
    return figures


def print_table(settings: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    """Prints the settings and the figures to stdout."""
    table = Table(title="Load test")
    table.add_column("setting or figure")
    table.add_column("value", justify="right", overflow="fold")
    for section in (settings, figures):
        for name, value in section.items():
            if value not in (None, {}):
                table.add_row(
                    _LABELS.get(name, name), _loop_in_words(value) if name == "loop" else str(value)
                )
        table.add_section()
    Console().print(table)


def loop(rate: float | None) -> str:
    """The value of the setting `loop` in the JSON file.

    Args:
        rate: requests per second of an open loop; None for a closed loop.
    """
    return _CLOSED_LOOP if rate is None else f"{_OPEN_LOOP}{rate:g}/s"


def _loop_in_words(value: str) -> str:
    if value == _CLOSED_LOOP:
        return "as soon as it is answered"
    return f"at random times, {value.removeprefix(_OPEN_LOOP)} of all clients"


def refuse_foreign_files(path: str) -> None:
    """Refuses to write where another file is. It is called before the load begins.

    Raises:
        UserError: if what is at one of the paths of `write` was not written by it.
    """
    refuse_foreign_file(path, _JSON_SIGNATURE, "a report")
    refuse_foreign_file(_picture_of(path), PNG_SIGNATURE, "a picture")


def write(path: str, settings: Mapping[str, Any], figures: Mapping[str, Any], answers: Answers) -> None:
    """Writes the JSON file `path`, and a picture beside it, whose name ends in `.png` instead of `.json`."""
    storage.write(path, json.dumps({"settings": settings, "figures": figures}, indent=2) + "\n")
    storage.write(_picture_of(path), sign_png(_draw(answers)))


def _picture_of(path: str) -> str:
    return f"{path.removesuffix('.json')}.png"


def _draw(answers: Answers) -> bytes:
    """Draws the latencies over time, and their distribution; returns a PNG file."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    milliseconds = 1000 * answers.latencies
    figure, (over_time, distribution) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    over_time.plot(answers.finished, milliseconds, ".", markersize=2, alpha=0.4)
    over_time.set(xlabel="seconds since the first request", ylabel="latency, ms", ylim=(0, None))
    shares = 100 * (np.arange(len(milliseconds)) + 1) / max(1, len(milliseconds))
    distribution.plot(np.sort(milliseconds), shares)
    distribution.set(xlabel="latency, ms", ylabel="answers within it, %", xlim=(0, None), ylim=(0, 100))
    figure.suptitle(f"{answers.rate:.0f} answers per second, {sum(answers.errors.values())} errors")
    png = io.BytesIO()
    figure.savefig(png, dpi=_DOTS_PER_INCH, format="png")
    plt.close(figure)
    return png.getvalue()
