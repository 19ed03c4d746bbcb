"""Whether heatmaps show what decides: measured by changing images and weights. An option, as it is slow.

Grad-CAM and HiResCAM are measured side by side.
"""

import dataclasses
import math

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy import stats

from pipeline import runs
from pipeline.evaluation.intervals import Interval, mean_by_patient
from pipeline.evaluation.part import Part, Subject
from pipeline.explanation.gradcam import METHODS, GradCam
from pipeline.network.names import FEATURES
from tfrecords_builder.cli.progress import progress
from tfrecords_builder.records import PNEUMONIA

STEPS = 10
"""Number of equal steps in which the pixels of an image are removed or shown."""
MOST_IMAGES = 500
"""Largest number of images that are measured. Of a larger split they are evenly spaced."""
BLUR = 0.125
"""Standard deviation of the blur that removes what an image shows, as a fraction of its side."""
SEED = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Curves:
    """The areas under the curves of each image, (images,)."""

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class MethodFigures:
    """The figures of one method of explanation. Intervals are bootstrapped by patient."""

    deletion: Interval
    """Mean probability of the label while the hottest pixels are blurred first (Petsiuk et al., BMVC 2018).
    Lower is better."""
    insertion: Interval
    """The same while the hottest pixels of a blurred image are made sharp first. Higher is better."""
    deletion_gain: Interval
    """By how much deletion is lower than with a random smooth map of the same image. Above 0 is better than
    chance."""
    insertion_gain: Interval
    """By how much insertion is higher than with that map."""
    similarity_to_random_weights: Interval
    """Spearman's rank correlation of heatmaps with those of the same network with random weights (Adebayo et
    al., NeurIPS 2018). 0 is best: a map that does not depend on the weights explains nothing."""
    peak_in_lesion: Interval
    """Pointing game: share of the PNEUMONIA images called so whose hottest pixel lies in a known lesion
    (Zhang et al., IJCV 2018). NaN without known lesions."""
    lesion_overlap: Interval
    """Area that lesions and the hot half of the map share, divided by the area of both (IoU). The hot half is
    where heat is at least half its maximum. Mean over the same images."""


@dataclasses.dataclass(frozen=True)
class Faithfulness:
    """The figures of this part."""

    faithfulness: dict[str, MethodFigures]
    """By method, `gradcam` and `hirescam`."""
    lesion_area: float
    """Mean share of the area that lesions take in these images: the pointing game's chance. NaN without known
    lesions."""


class Sample:
    """The images that are measured: all of a small split."""

    def __init__(self, subject: Subject) -> None:
        self.subject = some = subject.sample(MOST_IMAGES)
        self.images = some.images
        self.patients = np.array(some.predictions.patients)
        self.called = some.predictions.called_pneumonia
        found = self.called & (some.predictions.labels == PNEUMONIA)
        lesions = np.zeros(self.images.shape[:3], bool) if some.lesions is None else some.lesions[:]
        self.hit = found & lesions.any(axis=(1, 2))
        """Which of the images are PNEUMONIA, called so, and have a known lesion, (images,)."""
        self.lesions = lesions[self.hit]
        """Masks of the lesions of these, (hit images, side, side)."""


def measure_part(subject: Subject) -> Part:
    """The figures of both methods, without pictures."""
    sample = Sample(subject)
    randomized = runs.load_model(subject.run.folder)
    randomize_weights(randomized, SEED)
    side, grid = subject.images.shape[1], subject.run.model.get_layer(FEATURES).output.shape[1:3]
    random_maps = draw_random_maps(len(sample.images), grid, side, SEED)
    of_random_maps = _curves(sample, random_maps, "random maps")
    figures: dict[str, MethodFigures] = {}
    for method in METHODS:
        heatmaps = _explain(GradCam(subject.run.model, method), sample)
        of_random_weights = _explain(GradCam(randomized, method), sample)
        similarity = [rank_correlation(*pair) for pair in zip(heatmaps, of_random_weights, strict=True)]
        curves = _curves(sample, heatmaps, method)
        figures[method] = _measure(sample, heatmaps, np.array(similarity), curves, of_random_maps)
    lesion_area = float(sample.lesions.mean()) if sample.hit.any() else math.nan
    return Part("faithfulness", Faithfulness(figures, lesion_area))


def _measure(
    sample: Sample,
    heatmaps: NDArray[np.float32],
    similarity: NDArray[np.float64],
    curves: Curves,
    of_random_maps: Curves,
) -> MethodFigures:
    patients, hit, known = sample.patients, sample.hit, np.isfinite(similarity)
    return MethodFigures(
        deletion=mean_by_patient(curves.deletion, patients),
        insertion=mean_by_patient(curves.insertion, patients),
        deletion_gain=mean_by_patient(of_random_maps.deletion - curves.deletion, patients),
        insertion_gain=mean_by_patient(curves.insertion - of_random_maps.insertion, patients),
        similarity_to_random_weights=mean_by_patient(similarity[known], patients[known]),
        peak_in_lesion=mean_by_patient(peaks_inside(heatmaps[hit], sample.lesions), patients[hit]),
        lesion_overlap=mean_by_patient(overlaps(heatmaps[hit], sample.lesions), patients[hit]),
    )


def _explain(gradcam: GradCam, sample: Sample) -> NDArray[np.float32]:
    """Heatmaps (images, side, side), 0 to 1."""
    explain = tf.function(gradcam)
    size, threshold = sample.subject.batch_size, sample.subject.predictions.threshold
    batches = [sample.images[begin : begin + size] for begin in range(0, len(sample.images), size)]
    return np.concatenate([explain(batch, threshold).heatmap.numpy() for batch in batches])


def _curves(sample: Sample, heatmaps: NDArray[np.float32], what: str) -> Curves:
    generator = np.random.default_rng(SEED)
    areas = []
    for position in progress(range(len(heatmaps)), len(heatmaps), f"deleting and inserting by {what}"):
        changed = change_gradually(sample.images[position], heatmaps[position], generator)
        probabilities = sample.subject.predict(changed.reshape(-1, *changed.shape[2:])).astype(np.float64)
        of_label = probabilities if sample.called[position] else 1 - probabilities
        areas.append([area_under(curve) for curve in of_label.reshape(2, STEPS + 1)])
    return Curves(*np.array(areas).T)


def change_gradually(
    image: NDArray[np.uint8], heatmap: NDArray[np.float32], generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Blurs the hottest pixels of an image first, and makes those of its blurred copy sharp first.

    Args:
        image: (side, side, 1), 0 to 255.
        heatmap: (side, side). Pixels of equal heat come in random order.
        generator: source of that order.

    Returns:
        uint8 (2, STEPS + 1, side, side, 1): from sharp to blurred, and from blurred to sharp.
    """
    blurred = cv2.GaussianBlur(image[..., 0], (0, 0), BLUR * len(image))[..., None]
    order = np.lexsort((generator.random(heatmap.size), -heatmap.ravel()))
    rank = np.empty(heatmap.size, int)
    rank[order] = np.arange(heatmap.size)
    ends = np.round(np.linspace(0, heatmap.size, STEPS + 1))
    changed = (rank[None] < ends[:, None]).reshape(STEPS + 1, *heatmap.shape, 1)
    return np.stack([np.where(changed, blurred, image), np.where(changed, image, blurred)])


def area_under(curve: NDArray[np.float64]) -> float:
    """The area under a curve over 0 to 1, by trapezoids."""
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))


def draw_random_maps(count: int, grid: tuple[int, int], side: int, seed: int) -> NDArray[np.float32]:
    """Maps (count, side, side), 0 to 1, of noise that is as smooth as heatmaps of features of this grid."""
    noise = np.random.default_rng(seed).random((count, *grid, 1), dtype=np.float32)
    return tf.image.resize(noise, (side, side), method="bilinear")[..., 0].numpy()


def randomize_weights(model: "tf.keras.Model", seed: int) -> None:
    """Draws all kernels of a model anew, from normal distributions with their mean and standard deviation."""
    generator = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            kernel = np.asarray(variable)
            variable.assign(generator.normal(kernel.mean(), kernel.std(), kernel.shape).astype(np.float32))


def rank_correlation(heatmap: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Spearman's rank correlation of two maps; NaN if one is the same everywhere."""
    if np.ptp(heatmap) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(stats.spearmanr(heatmap.ravel(), other.ravel()).statistic)


def peaks_inside(heatmaps: NDArray[np.float32], lesions: NDArray[np.bool_]) -> NDArray[np.float64]:
    """1 for each map (n, side, side) whose hottest pixel lies in the mask, else 0; 0 without any heat."""
    count, rows, columns = heatmaps.shape
    flat = heatmaps.reshape(count, rows * columns)
    inside = lesions.reshape(count, rows * columns)[np.arange(count), flat.argmax(axis=1)]
    return (inside & (flat.max(axis=1) > 0)).astype(np.float64)


def overlaps(heatmaps: NDArray[np.float32], lesions: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Intersection over union of the masks and the places with at least half the maximal heat, (n,)."""
    highest = heatmaps.max(axis=(1, 2), keepdims=True)
    hot = (heatmaps >= highest / 2) & (highest > 0)
    shared, both = (hot & lesions).sum(axis=(1, 2)), (hot | lesions).sum(axis=(1, 2))
    return shared / np.maximum(both, 1)
