"""The pictures of the report of a search."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pipeline.evaluation.drawing import new_figure, to_png

_FACTOR_FOR_LOG_SCALE = 20
FEWEST_FOR_IMPORTANCE = 8
"""Fewer networks say nothing about which settings matter."""
_COLORS = colormaps["coolwarm"]
_INCHES_PER_AXIS = 0.85
_LABEL: dict[str, Any] = {
    "fontsize": 7,
    "va": "center",
    "ha": "center",
    "bbox": {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
    "zorder": 3,
}

Row = Mapping[str, Any]


def parallel_coordinates(rows: Sequence[Row], parameters: Sequence[str]) -> bytes | None:
    """One line a network through all settings that differ; None if none differs."""
    names = [name for name in parameters if len({row[name] for row in rows}) > 1]
    if not names:
        return None
    figure = new_figure(max(6.0, _INCHES_PER_AXIS * (len(names) + 1)), 5.0)
    axes = figure.add_subplot()
    columns = [_positions([row[name] for row in rows]) for name in names]
    scores = np.array([row["score"] for row in rows])
    places = np.stack([*(column for column, _ in columns), _scaled(scores)], axis=1)
    colors = _colours(scores)
    for position in np.argsort(scores):  # the best is drawn last, above the others
        axes.plot(places[position], color=colors[position], linewidth=1.5, alpha=0.8)
    for place, (_, ticks) in enumerate(columns):
        axes.axvline(place, color="#999", linewidth=0.8)
        for height, text in ticks:
            axes.text(place, height, text, **_LABEL)
    axes.axvline(len(names), color="#999", linewidth=0.8)
    for height, value in ((0.0, scores.min()), (1.0, scores.max())):
        axes.text(len(names), height, f"{value:.3f}", **_LABEL)
    labels = [name.removeprefix("model.").replace("augmentation.", "aug. ") for name in names]
    axes.set_xticks(range(len(names) + 1), [*labels, "score"], rotation=40, ha="right", fontsize=8)
    axes.set_yticks([])
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)
    return to_png(figure)


def importances(rows: Sequence[Row], parameters: Sequence[str]) -> bytes | None:
    """How much each setting that differs matters for the score; None with too few networks."""
    from sklearn.ensemble import RandomForestRegressor  # takes a second to load
    from sklearn.inspection import permutation_importance

    names = [name for name in parameters if len({row[name] for row in rows}) > 1]
    if len(rows) < FEWEST_FOR_IMPORTANCE or not names:
        return None
    inputs = np.stack([_positions([row[name] for row in rows])[0] for name in names], axis=1)
    scores = np.array([row["score"] for row in rows])
    forest = RandomForestRegressor(300, random_state=0).fit(inputs, scores)
    measured = permutation_importance(forest, inputs, scores, n_repeats=10, random_state=0)
    order = np.argsort(measured.importances_mean)
    figure = new_figure(6.0, 1.0 + 0.3 * len(names))
    axes = figure.add_subplot()
    axes.barh([names[at] for at in order], measured.importances_mean[order], color="#3b6fb6")
    axes.set_xlabel("importance")
    axes.tick_params(labelsize=8)
    return to_png(figure)


def learning_curves(rows: Sequence[Row], curves: Mapping[str, Sequence[float]]) -> bytes:
    """The validation losses of all networks."""
    figure = new_figure(6.0, 4.0)
    axes = figure.add_subplot()
    colors = _colours(np.array([row["score"] for row in rows]))
    for row, color in reversed(list(zip(rows, colors, strict=True))):
        losses = curves[row["trial"]]
        axes.plot(range(1, len(losses) + 1), losses, color=color, marker="o", markersize=3, linewidth=1.2)
    axes.set_xlabel("epoch")
    axes.set_ylabel("validation loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return to_png(figure)


def pareto(rows: Sequence[Row]) -> bytes:
    """The scores against the number of weights and the latency."""
    figure = new_figure(9.0, 4.0)
    for place, (name, label) in enumerate((("params", "weights"), ("latency_ms", "latency, ms an image")), 1):
        _pareto(figure.add_subplot(1, 2, place), rows, name, label)
    return to_png(figure)


def front(costs: NDArray[np.floating], scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """The positions of what nothing else beats in both, by increasing cost.

    Args:
        costs: the smaller, the better; shape (n,).
        scores: the larger, the better; shape (n,).
    """
    order = np.lexsort((-scores, costs))
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(scores[order])[:-1]])
    return order[scores[order] > best_before]


def _pareto(axes: Axes, rows: Sequence[Row], name: str, label: str) -> None:
    costs, scores = (np.array([row[key] for row in rows], float) for key in (name, "score"))
    axes.scatter(costs, scores, color="#999", s=18)
    on_front = front(costs, scores)
    axes.step(costs[on_front], scores[on_front], where="post", color="#c8442f", marker="o", markersize=5)
    for position in on_front:
        axes.annotate(
            rows[position]["trial"],
            (costs[position], scores[position]),
            fontsize=7,
            xytext=(4, -9),
            textcoords="offset points",
        )
    if costs.max() > _FACTOR_FOR_LOG_SCALE * costs.min():
        axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel("score")


def _positions(values: Sequence[Any]) -> tuple[NDArray[np.float64], list[tuple[float, str]]]:
    """Places values on an axis from 0 to 1: numbers by their size or its logarithm, others evenly.

    Returns:
        The place of each value, and the ticks: the place and the text of each.
    """
    distinct = sorted(set(values))
    if len(distinct) > 8 and all(isinstance(value, float) for value in distinct):  # noqa: PLR2004
        places = _scaled(np.log(np.array(values)))
        ends = (distinct[0], distinct[-1])
        return places, [(float(height), f"{value:.2g}") for height, value in zip((0, 1), ends, strict=True)]
    place_of = dict(zip(distinct, np.linspace(0, 1, max(2, len(distinct))), strict=False))
    texts = [f"{value:g}" if isinstance(value, float) else str(value) for value in distinct]
    ticks = [(float(place_of[value]), text) for value, text in zip(distinct, texts, strict=True)]
    return np.array([place_of[value] for value in values]), ticks


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    extent = values.max() - values.min()
    return (values - values.min()) / extent if extent else np.full(len(values), 0.5)


def _colours(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Colors by rank, from blue for the worst to red for the best."""
    ranks = np.argsort(np.argsort(scores))
    return np.asarray(_COLORS(ranks / max(1, len(scores) - 1)))
