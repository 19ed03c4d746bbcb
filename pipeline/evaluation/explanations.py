"""Where the model looks: Grad-CAM heatmaps of all images, measured batch by batch, and a few examples.

Only sums, a few numbers of each image, and the heatmaps of the gallery stay in memory.
"""

import dataclasses
import math
from collections.abc import Collection, Iterable, Iterator

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.evaluation import gallery, heat_in_lungs
from pipeline.evaluation.drawing import new_figure, to_png
from pipeline.evaluation.gallery import Heatmap, ShownImage
from pipeline.evaluation.heat_in_lungs import HeatInLungs, HeatOfImages
from pipeline.evaluation.part import Part, Subject
from pipeline.evaluation.predictions import Predictions
from pipeline.explanation.explainer import Explainer
from pipeline.explanation.pictures import COLORMAP
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.records import CLASS_NAMES, NORMAL, PNEUMONIA


@dataclasses.dataclass(frozen=True)
class Heat:
    """Where the heat of all images lies."""

    share_of_heat_in_border: float
    """Share of the heat in the outermost tenth of the images, where no lung is; NaN without any heat."""
    share_of_area_in_border: float
    """Share of the area of an image that this border takes: what evenly spread heat would give."""
    images_without_heat: int
    """Number of images in which nothing counts as evidence for the label."""


@dataclasses.dataclass(frozen=True)
class Explanations:
    """The figures of this part."""

    gradcam: Heat
    heat_in_lungs: dict[str, HeatInLungs]
    """Figures by group of images; empty if the records have no lung masks."""
    gallery: dict[str, list[ShownImage]]
    """The images that the page shows, by kind of prediction."""


@dataclasses.dataclass(frozen=True, eq=False)
class ExplainedBatch:
    """What is known of each image of a batch."""

    heatmaps: NDArray[np.float32]
    """(batch, side, side), 0 to 1."""
    attention: NDArray[np.float32] | None
    """The lung attention (batch, height, width, 1), 0 to 1; None if the model has none."""
    in_lungs: HeatOfImages
    """How much of the heat lies in the lungs of the records."""


@dataclasses.dataclass(frozen=True, eq=False)
class HeatSums:
    """What is kept of all heatmaps."""

    of_class: NDArray[np.float64]
    """Sum of the heatmaps of each class, (2, side, side)."""
    images_without_heat: int
    examples: dict[int, Heatmap]
    """Heatmaps of the examples, by the position of their image in the split."""
    in_lungs: HeatOfImages
    """How much of the heat of each image lies in the lungs."""


def sum_heatmaps(
    predictions: Predictions, batches: Iterable[ExplainedBatch], examples: Collection[int]
) -> HeatSums:
    """Adds up heatmaps.

    Args:
        predictions: what was predicted for the images.
        batches: all images, in their order.
        examples: positions of the images whose heatmaps are kept.
    """
    of_class: NDArray[np.float64] = np.zeros((len(CLASS_NAMES), 1, 1))
    images_without_heat = begin = 0
    kept: dict[int, Heatmap] = {}
    in_lungs = []
    for batch in batches:
        heatmaps, attention = batch.heatmaps, batch.attention
        labels = predictions.labels[begin : begin + len(heatmaps)]
        of_class = of_class + [
            heatmaps[labels == label].sum(axis=0, dtype=np.float64) for label in (NORMAL, PNEUMONIA)
        ]
        images_without_heat += int((heatmaps.max(axis=(1, 2)) == 0).sum())
        for position in examples:
            if 0 <= (i := position - begin) < len(heatmaps):
                # Copies, as a slice would keep its whole batch in memory.
                found = None if attention is None else attention[i].copy()
                kept[position] = Heatmap(heatmaps[i].copy(), found)
        in_lungs.append(batch.in_lungs)
        begin += len(heatmaps)
    return HeatSums(of_class, images_without_heat, kept, heat_in_lungs.join(in_lungs))


def measure_border(sums: HeatSums) -> Heat:
    """Measures how much of the heat lies in the border."""
    heat = sums.of_class.sum(axis=0)
    side = len(heat)
    margin = max(1, side // 10)
    inner = heat[margin : side - margin, margin : side - margin]
    return Heat(
        share_of_heat_in_border=float(1 - inner.sum() / heat.sum()) if heat.any() else math.nan,
        share_of_area_in_border=1 - (1 - 2 * margin / side) ** 2,
        images_without_heat=sums.images_without_heat,
    )


def measure_part(subject: Subject) -> Part:
    """The figures, the mean heatmap of each class, and the gallery."""
    predictions = subject.predictions
    chosen = gallery.choose(predictions)
    positions = {position for kind in chosen.values() for position in kind}
    sums = sum_heatmaps(predictions, _explain(subject), positions)
    has_masks = np.isfinite(sums.in_lungs.share_of_area).any()
    shown, pictures = gallery.show(predictions, chosen, subject.images, sums.examples)
    figures = Explanations(
        measure_border(sums), heat_in_lungs.measure(sums.in_lungs, predictions) if has_masks else {}, shown
    )
    mean_heat = {"gradcam_mean.png": _draw_mean_heat(predictions, sums)}
    return Part("explanations", figures, pictures=mean_heat | pictures)


def _explain(subject: Subject) -> Iterator[ExplainedBatch]:
    """Explains all images, batch by batch."""
    explain = tf.function(Explainer(subject.run.model, subject.run.reference))
    begins = range(0, len(subject.images), subject.batch_size)
    for begin in progress(begins, len(begins), "explaining batches"):
        batch = slice(begin, begin + subject.batch_size)
        explained = explain(subject.images[batch], subject.predictions.threshold)
        heatmaps, attention = explained.heatmap.numpy(), explained.assessment.lungs
        yield ExplainedBatch(
            heatmaps,
            None if attention is None else attention.numpy(),
            heat_in_lungs.measure_images(heatmaps, subject.lungs[batch], subject.lungs.known[batch]),
        )


def _draw_mean_heat(predictions: Predictions, sums: HeatSums) -> bytes:
    figure = new_figure(8, 4)
    for label, name in enumerate(CLASS_NAMES):
        axes = figure.add_subplot(1, 2, label + 1)
        axes.imshow(sums.of_class[label] / (predictions.labels == label).sum(), cmap=COLORMAP, vmin=0)
        axes.set_title(f"mean Grad-CAM, {name}")
        axes.axis("off")
    return to_png(figure)
