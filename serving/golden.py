"""Golden images: synthetic X-rays, and what the evaluated model answers about them.

An export carries them, so that the export itself and later `python -m serving.client --verify` can tell
whether a model that answers is the one that was evaluated. They lie in the folder of a version as PNG files,
tables of numbers and `answers.json`, so that people can look at them, too. This module needs no TensorFlow.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.decision.calibration import logit
from serving import names
from tfrecords_builder import storage
from tfrecords_builder.records import CLASS_NAMES, NORMAL, PNEUMONIA

FOLDER = f"{names.EXTRA_ASSETS}/golden"
"""Folder of the golden images in the folder of a version."""
_ANSWERS = "answers.json"
_PIXELS, _HEATMAPS = "pixels.npy", "heatmaps.npy"
_LOGIT = "logit"


@dataclasses.dataclass(frozen=True)
class Tolerances:
    """The largest differences from the evaluated model that another device or server may cause."""

    # Less than what other weights change, more than GPUs do that multiply with 10 bits (TF32).
    probability: float = 0.005
    logit: float = 0.1
    """Of a probability near 0 or 1, the logit changes more than the probability."""
    heatmap: float = 0.05
    lung_area: float = 0.01
    familiarity: float = 0.05


@dataclasses.dataclass(frozen=True, eq=False)
class Golden:
    """Images, and what the evaluated model answers about them."""

    encoded: list[bytes]
    """Image files, larger than the model's images."""
    pixels: NDArray[np.uint8]
    """The same images as the model sees them, (images, side, side, 1)."""
    threshold: float
    """Probability from which the label is PNEUMONIA."""
    probability: NDArray[np.float32]
    """(images,), 0 to 1."""
    lung_area: NDArray[np.float32]
    """(images,), 0 to 1 or UNKNOWN."""
    familiarity: NDArray[np.float32]
    """(images,), 0 to 1 or UNKNOWN."""
    heatmap: NDArray[np.float32]
    """(images, side, side), 0 to 1."""
    tolerances: Tolerances = Tolerances()

    def save(self, version_folder: str) -> None:
        """Writes them into the folder of a version."""
        folder = storage.join(version_folder, FOLDER)
        files = [f"{number}.png" for number in range(len(self.encoded))]
        for file, content in zip(files, self.encoded, strict=True):
            storage.write(storage.join(folder, file), content)
        for file, array in ((_PIXELS, self.pixels), (_HEATMAPS, self.heatmap)):
            storage.write_with(storage.join(folder, file), functools.partial(np.save, arr=array))
        rows = zip(files, self.probability, self.lung_area, self.familiarity, strict=True)
        answers = {
            "threshold": self.threshold,
            "tolerances": dataclasses.asdict(self.tolerances),
            "images": [
                {
                    "file": file,
                    names.PROBABILITY: float(probability),
                    names.LUNG_AREA: float(lung_area),
                    names.FAMILIARITY: float(familiarity),
                }
                for file, probability, lung_area, familiarity in rows
            ],
        }
        storage.write(storage.join(folder, _ANSWERS), storage.to_json(answers))


def load(version_folder: str) -> Golden | None:
    """Reads the golden images of a version; None if an earlier version of this project exported it.

    Raises:
        ValueError, KeyError: if a file is damaged.
    """
    folder = storage.join(version_folder, FOLDER)
    if not storage.exists(storage.join(folder, _ANSWERS)):
        return None
    answers = json.loads(storage.read(storage.join(folder, _ANSWERS)))

    def column(name: str) -> NDArray[np.float32]:
        return np.array([image[name] for image in answers["images"]], np.float32)

    pixels, heatmap = (
        storage.read_with(storage.join(folder, file), np.load) for file in (_PIXELS, _HEATMAPS)
    )
    return Golden(
        encoded=[storage.read_bytes(storage.join(folder, image["file"])) for image in answers["images"]],
        pixels=pixels,
        threshold=float(answers["threshold"]),
        probability=column(names.PROBABILITY),
        lung_area=column(names.LUNG_AREA),
        familiarity=column(names.FAMILIARITY),
        heatmap=heatmap,
        tolerances=Tolerances(**answers["tolerances"]),
    )


def differences(golden: Golden, outputs: Mapping[str, Any]) -> list[str]:
    """Compares what a model answers about the golden images with what the evaluated model answers.

    Args:
        golden: the images and their answers.
        outputs: outputs of a signature by name, each with one value for each image.

    Returns:
        One sentence for each output that differs; nothing if all agree. Outputs that the signature does not
        have are not compared; each signature has probability and label.
    """
    found = []
    if not np.all(outputs.get(names.VALID, True)):
        found.append("it cannot decode all of the golden images")
    lacking = [name for name in (names.PROBABILITY, names.LABEL) if name not in outputs]
    if lacking:
        return [f"it does not return {' and '.join(lacking)}"]
    expected: dict[str, NDArray[np.floating]] = {
        names.PROBABILITY: golden.probability,
        _LOGIT: logit(golden.probability),
        names.LUNG_AREA: golden.lung_area,
        names.FAMILIARITY: golden.familiarity,
        names.HEATMAP: golden.heatmap,
        names.THRESHOLD: np.full(len(golden.encoded), golden.threshold, np.float32),
    }
    answered = {_LOGIT: logit(outputs[names.PROBABILITY]), **outputs}
    for name, values in expected.items():
        if name in answered:
            found += _of_numbers(name, answered[name], values, getattr(golden.tolerances, name, 0.0))
    return found + _of_labels(golden, outputs[names.LABEL])


def _of_numbers(name: str, values: Any, expected: NDArray[np.floating], tolerance: float) -> list[str]:
    answered = np.asarray(values, np.float32)
    if answered.shape != expected.shape:
        return [f"{name} has the shape {answered.shape}, that of the evaluated model is {expected.shape}"]
    difference = np.abs(answered - expected)
    if np.all(difference <= tolerance):  # false for NaN too
        return []
    worst = np.unravel_index(np.argmax(np.nan_to_num(difference, nan=np.inf)), difference.shape)
    return [
        f"{name} of golden image {worst[0]} is {answered[worst]:.6g}, that of the evaluated model is "
        f"{expected[worst]:.6g}; at most {tolerance:g} apart is accepted"
    ]


def _of_labels(golden: Golden, labels: Any) -> list[str]:
    is_certain = np.abs(golden.probability - golden.threshold) > golden.tolerances.probability
    expected = np.where(golden.probability >= golden.threshold, CLASS_NAMES[PNEUMONIA], CLASS_NAMES[NORMAL])
    wrong = np.flatnonzero(is_certain & (np.asarray(labels, str) != expected))
    if not len(wrong):
        return []
    return [
        f"label of golden image {wrong[0]} is {labels[wrong[0]]}, that of the evaluated model is "
        f"{expected[wrong[0]]} ({len(wrong)} of {len(expected)} labels differ)"
    ]
