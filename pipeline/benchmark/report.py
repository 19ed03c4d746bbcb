"""Shows the results as tables, and writes them as `benchmark.json` and as a chart."""

import io
import itertools
import json
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.benchmark.result import UNIT, Result
from tfrecords_builder import storage
from tfrecords_builder.ownership import PNG_SIGNATURE, OwnedFiles, sign_png

JSON = "benchmark.json"
CHART = "benchmark.png"
FILES = OwnedFiles(
    "a folder of a benchmark",
    {
        r"benchmark\.json": b'"command": "python -m pipeline.benchmark',
        r"benchmark\.png": PNG_SIGNATURE + b"|tEXtSoftware\0Matplotlib",
    },
)
_NOTES = {
    "fraction_of_peak": "{:.2f} of peak",
    "goodput": "goodput {:.3f}",
    "waiting": "{:.1%} waiting",
}


def print_tables(console: Console, results: list[Result], comparisons: dict[str, float]) -> None:
    """Prints one table per group of results, and one of the ratios if there are any."""
    for group, members in itertools.groupby(results, lambda result: result.group):
        table = Table("what", f"median ({UNIT})", "least to most", "notes", title=group, title_justify="left")
        for result in members:
            table.add_row(result.name, *_cells(result))
        console.print(table)
    if not comparisons:
        return
    table = Table("comparison", "ratio", title="comparisons", title_justify="left")
    for name, ratio in comparisons.items():
        table.add_row(name, f"{ratio:.3g}")
    console.print(table)


def _cells(result: Result) -> tuple[str, str, str]:
    if result.rates is None:
        return "-", "-", f"skipped: {result.details['skipped']}"
    notes = [text.format(result.details[key]) for key, text in _NOTES.items() if key in result.details]
    rates = result.rates
    return f"{rates.median:,.0f}", f"{rates.least:,.0f} to {rates.most:,.0f}", ", ".join(notes)


def to_json(about: dict[str, Any], results: list[Result], comparisons: dict[str, float]) -> str:
    """The text of `benchmark.json`: machine and settings, every repeat of every result, and the ratios."""
    measured = {"results": [result.as_json() for result in results], "comparisons": comparisons}
    return json.dumps(about | measured, indent=2) + "\n"


def chart(results: list[Result], title: str) -> bytes:
    """A PNG with one bar per result: its median and range, in images per second on a logarithmic scale."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    measured = [(result, result.rates) for result in reversed(results) if result.rates]
    medians = [rates.median for _, rates in measured]
    ranges = [
        [rates.median - rates.least for _, rates in measured],
        [rates.most - rates.median for _, rates in measured],
    ]
    groups = list(dict.fromkeys(result.group for result, _ in measured))
    figure, axes = plt.subplots(figsize=(10, 1 + 0.26 * len(measured)), layout="constrained")
    colors = [f"C{groups.index(result.group)}" for result, _ in measured]
    axes.barh(
        [f"{result.group}: {result.name}" for result, _ in measured], medians, xerr=ranges, color=colors
    )
    axes.set(xscale="log", xlabel=UNIT, title=title)
    axes.tick_params(labelsize=7)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    plt.close(figure)
    return sign_png(png.getvalue())


def write(folder: str, text: str, png: bytes) -> None:
    """Writes both files to a folder."""
    storage.write(storage.join(folder, JSON), text)
    storage.write(storage.join(folder, CHART), png)
