"""The evaluation as a page: one HTML file that needs nothing beside it."""

import base64
from typing import Any

import jinja2

from pipeline.runs import Run
from tfrecords_builder.manifest import Manifest

ROWS = {
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity (recall)",
    "specificity": "Specificity",
    "precision": "Precision (positive predictive value)",
    "negative_predictive_value": "Negative predictive value",
}


def render(run: Run, content: Manifest, measured: dict[str, Any], pictures: dict[str, bytes]) -> str:
    """The page of an evaluation.

    Args:
        run: what was evaluated.
        content: of the records it was evaluated on.
        measured: what `metrics.json` holds.
        pictures: PNG files by name; they are written into the page.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.evaluation", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["interval"] = _interval
    return environment.get_template("report.html.jinja").render(
        run=run,
        content=content,
        measured=measured,
        rows=ROWS,
        pictures={
            name: f"data:image/png;base64,{base64.b64encode(png).decode()}" for name, png in pictures.items()
        },
    )


def summary(measured: dict[str, Any]) -> str:
    """The main figures in a few lines of text."""
    counts = ", ".join(f"{count} {name}" for name, count in measured["images"].items())
    lines = [
        f"{measured['split']}: {counts}",
        f"AUC                        {_interval(measured['over_thresholds']['auc'])}",
    ]
    for key, title in (("at_operating_point", "operating point"), ("at_half", "threshold")):
        figures = measured[key]
        lines.append(f"at the {title} {figures['threshold']:.4f}")
        lines += [f"  {name:<24} {_interval(figures[name])}" for name in ROWS]
    return "\n".join(lines)


def _interval(figure: dict[str, float]) -> str:
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
