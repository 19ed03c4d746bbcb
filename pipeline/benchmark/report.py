"""The figures as tables, as `benchmark.json`, and as a picture."""

import io
import itertools
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.benchmark.result import Result

JSON = "benchmark.json"
PICTURE = "benchmark.png"
_SHOWN = {"fraction_of_peak": "of peak {:.2f}", "goodput": "goodput {:.3f}", "waiting": "waits {:.3f}"}


def print_tables(console: Console, results: list[Result], comparisons: dict[str, float]) -> None:
    """One table a group, and one of what the figures say of each other."""
    for group, members in itertools.groupby(results, lambda result: result.group):
        table = Table("", "median", "least to most", "", title=group, title_justify="left")
        for result in members:
            table.add_row(result.name, *_cells(result))
        console.print(table)
    table = Table("", "times", title="against each other", title_justify="left")
    for name, ratio in comparisons.items():
        table.add_row(name, f"{ratio:.3g}")
    console.print(table)


def _cells(result: Result) -> tuple[str, str, str]:
    if result.rates is None:
        return "-", "-", f"skipped: {result.details['skipped']}"
    shown = [text.format(result.details[key]) for key, text in _SHOWN.items() if key in result.details]
    rates = result.rates
    return f"{rates.median:,.0f} {result.unit}", f"{rates.least:,.0f} to {rates.most:,.0f}", ", ".join(shown)


def to_json(about: dict[str, Any], results: list[Result], comparisons: dict[str, float]) -> str:
    """The text of `benchmark.json`: the machine, the settings, every repeat of every figure, the ratios."""
    measured = {"results": [result.as_json() for result in results], "comparisons": comparisons}
    return json.dumps(about | measured, indent=2) + "\n"


def picture(results: list[Result], title: str) -> bytes:
    """A PNG: one bar a figure, from its median, with its spread; the scale is logarithmic."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    measured = [(result, result.rates) for result in results if result.rates and result.unit == "images/s"][
        ::-1
    ]
    medians = [rates.median for _, rates in measured]
    spreads = [
        [rates.median - rates.least for _, rates in measured],
        [rates.most - rates.median for _, rates in measured],
    ]
    groups = list(dict.fromkeys(result.group for result, _ in measured))
    figure, axes = plt.subplots(figsize=(10, 1 + 0.26 * len(measured)), layout="constrained")
    colors = [f"C{groups.index(result.group)}" for result, _ in measured]
    axes.barh(
        [f"{result.group}: {result.name}" for result, _ in measured], medians, xerr=spreads, color=colors
    )
    axes.set(xscale="log", xlabel="images/s", title=title)
    axes.tick_params(labelsize=7)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    plt.close(figure)
    return png.getvalue()


def write(folder: Path, text: str, png: bytes) -> None:
    """Leaves both files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JSON).write_text(text, encoding="utf-8")
    (folder / PICTURE).write_bytes(png)
