"""Draws a validation split by patient, so that no patient is both learnt from and validated on."""

import dataclasses
import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from tfrecords_builder.records import CLASS_NAMES
from tfrecords_builder.source import SourceImage


def draw_validation(images: Sequence[SourceImage], fraction: float, seed: int) -> list[SourceImage]:
    """Pools `train` and `val` and draws a new validation split, stratified by class.

    Patients are taken in the order of a seeded hash of their names, so that an image more or less moves no
    other patient. `test` is left as it is.

    Args:
        images: of all splits.
        fraction: of the pooled images of each class that go to `val`, about; 0 keeps the splits as they are.
        seed: of the order.

    Returns:
        The images in the same order, with their new splits.
    """
    if not fraction:
        return list(images)
    pooled = [image for image in images if image.split != "test"]
    chosen = {
        patient
        for label in range(len(CLASS_NAMES))
        for patient in _patients_for_validation(pooled, label, fraction, seed)
    }

    def new_split(image: SourceImage) -> SourceImage:
        if image.split == "test":
            return image
        return dataclasses.replace(image, split="val" if image.patient in chosen else "train")

    return [new_split(image) for image in images]


def _patients_for_validation(
    pooled: Sequence[SourceImage], label: int, fraction: float, seed: int
) -> list[str]:
    """Patients of one class, a patient with images of both being of the class that comes first."""
    class_of: dict[str, int] = defaultdict(lambda: len(CLASS_NAMES))
    for image in pooled:
        class_of[image.patient] = min(class_of[image.patient], image.label)
    counts = Counter(image.patient for image in pooled if class_of[image.patient] == label)
    wanted = max(1, round(fraction * counts.total()))
    chosen: list[str] = []
    taken = 0
    for patient in sorted(counts, key=lambda name: seeded_hash(seed, name)):
        if taken + counts[patient] <= wanted or not chosen:
            chosen.append(patient)
            taken += counts[patient]
    return chosen


def seeded_hash(seed: int, text: str) -> bytes:
    """A number for every text, evenly spread, another one for every seed."""
    return hashlib.sha256(f"{seed}:{text}".encode("utf-8", "surrogateescape")).digest()
