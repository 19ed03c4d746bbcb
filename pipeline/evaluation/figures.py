"""The pictures of an evaluation, as PNG bytes."""

import io
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from pipeline.explanation import COLORMAP, overlay
from tfrecords_builder.records import CLASS_NAMES, NORMAL, PNEUMONIA

DOTS_PER_INCH = 110
EXAMPLES_PER_KIND = 4

_COLOURS = {NORMAL: "#3b6fb6", PNEUMONIA: "#c8442f"}


def roc(labels: NDArray[np.float32], probabilities: NDArray[np.float32], threshold: float) -> bytes:
    """Sensitivity over 1 - specificity, with the operating point."""
    false_positive_rate, true_positive_rate, _ = roc_curve(labels, probabilities)
    figure, axes = _square()
    axes.plot(false_positive_rate, true_positive_rate, color=_COLOURS[PNEUMONIA])
    axes.plot([0, 1], [0, 1], color="0.8", linestyle=":")
    found = probabilities >= threshold
    axes.plot(found[labels == NORMAL].mean(), found[labels == PNEUMONIA].mean(), "o", color="black")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC curve and operating point")
    return _png(figure)


def precision_recall(
    labels: NDArray[np.float32], probabilities: NDArray[np.float32], threshold: float
) -> bytes:
    """Precision over recall, with the operating point."""
    precision, recall, _ = precision_recall_curve(labels, probabilities)
    figure, axes = _square()
    axes.plot(recall, precision, color=_COLOURS[PNEUMONIA])
    found = probabilities >= threshold
    if found.any():
        axes.plot(found[labels == PNEUMONIA].mean(), labels[found].mean(), "o", color="black")
    axes.set(
        xlabel="recall", ylabel="precision", title="Precision, recall and operating point", ylim=(0, 1.02)
    )
    return _png(figure)


def confusion(at_threshold: dict[str, Any]) -> bytes:
    """The four counts at a threshold, coloured by the share of their row."""
    counts = np.array(
        [
            [at_threshold["true_negatives"], at_threshold["false_positives"]],
            [at_threshold["false_negatives"], at_threshold["true_positives"]],
        ]
    )
    share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    figure, axes = _square()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if share[row, column] > 0.5 else "black"  # noqa: PLR2004 - the middle of the colours
        axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=18)
    axes.set_xticks(range(len(CLASS_NAMES)), CLASS_NAMES)
    axes.set_yticks(range(len(CLASS_NAMES)), CLASS_NAMES)
    axes.set(xlabel="label given", ylabel="label true", title="At the operating point")
    return _png(figure)


def histogram(labels: NDArray[np.float32], probabilities: NDArray[np.float32], threshold: float) -> bytes:
    """How the probabilities of each class are spread."""
    figure, axes = _square()
    for label, name in enumerate(CLASS_NAMES):
        axes.hist(
            probabilities[labels == label],
            bins=np.linspace(0, 1, 41).tolist(),
            alpha=0.6,
            label=name,
            color=_COLOURS[label],
        )
    axes.axvline(threshold, color="black", linewidth=1, label=f"threshold {threshold:.3f}")
    axes.set(xlabel="probability of pneumonia", ylabel="images", title="Probabilities", yscale="log")
    axes.legend()
    return _png(figure)


def mean_heat(heatmaps: NDArray[np.float32], labels: NDArray[np.float32]) -> bytes:
    """Where the heat lies on average, for each class."""
    figure = Figure(figsize=(8, 4), dpi=DOTS_PER_INCH, layout="constrained")
    for label, name in enumerate(CLASS_NAMES):
        axes = figure.add_subplot(1, 2, label + 1)
        axes.imshow(heatmaps[labels == label].mean(axis=0), cmap=COLORMAP, vmin=0)
        axes.set_title(f"mean Grad-CAM, {name}")
        axes.axis("off")
    return _png(figure)


def examples(
    images: NDArray[np.uint8],
    heatmaps: NDArray[np.float32],
    labels: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    threshold: float,
) -> bytes:
    """Overlays of the surest answers and the worst mistakes, a row for each kind of answer."""
    found = probabilities >= threshold
    kinds = {
        "missed pneumonia": ((labels == PNEUMONIA) & ~found, probabilities),
        "false alarm": ((labels == NORMAL) & found, -probabilities),
        "pneumonia found": ((labels == PNEUMONIA) & found, -probabilities),
        "normal": ((labels == NORMAL) & ~found, probabilities),
    }
    figure = Figure(figsize=(10, 10.6), dpi=DOTS_PER_INCH, layout="constrained")
    for row, (kind, (belongs, key)) in enumerate(kinds.items()):
        order = np.flatnonzero(belongs)[np.argsort(key[belongs])]
        for column in range(EXAMPLES_PER_KIND):
            axes = figure.add_subplot(len(kinds), EXAMPLES_PER_KIND, row * EXAMPLES_PER_KIND + column + 1)
            axes.axis("off")
            if column >= len(order):
                axes.set_title(f"no {'more ' if column else ''}{kind}", fontsize=9, color="0.6")
                continue
            one = order[column]
            laid_over = overlay(tf.constant(images[one : one + 1]), tf.constant(heatmaps[one : one + 1]))
            axes.imshow(laid_over.numpy()[0])
            axes.set_title(f"{kind}, {probabilities[one]:.3f}", fontsize=9)
    return _png(figure)


def _square() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.5, 4.5), dpi=DOTS_PER_INCH, layout="constrained")
    return figure, figure.add_subplot()


def _png(figure: Figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()
