"""Draws splits by patient, so that no patient is both learnt from and measured on."""

import dataclasses
import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from tfrecords_builder.errors import UserError
from tfrecords_builder.records import CLASS_NAMES
from tfrecords_builder.source.folders import SourceImage


def draw_test(images: Sequence[SourceImage], fraction: float, seed: int) -> list[SourceImage]:
    """Draws a test split, stratified by class, where there is none; for sources that have no splits.

    Patients are drawn as by `draw_validation`, which is to be called after it.

    Args:
        images: of all splits; if some are of `test`, all stay as they are.
        fraction: of the images of each class that go to `test`, about; 0 draws none.
        seed: of the order.

    Returns:
        The images in the same order, with their new splits.

    Raises:
        UserError: if all patients of a class would go to `test`.
    """
    if not fraction or any(image.split == "test" for image in images):
        return list(images)
    chosen = _drawn_patients(images, fraction, seed)
    return [
        dataclasses.replace(image, split="test") if image.patient in chosen else image for image in images
    ]


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

    Raises:
        UserError: if all patients of a class would go to `val`.
    """
    if not fraction:
        return list(images)
    chosen = _drawn_patients([image for image in images if image.split != "test"], fraction, seed)

    def new_split(image: SourceImage) -> SourceImage:
        if image.split == "test":
            return image
        return dataclasses.replace(image, split="val" if image.patient in chosen else "train")

    return [new_split(image) for image in images]


def _drawn_patients(pooled: Sequence[SourceImage], fraction: float, seed: int) -> set[str]:
    """Patients who have about `fraction` of the images of each class; others of each class are left."""
    drawn = {
        patient
        for label in range(len(CLASS_NAMES))
        for patient in _drawn_patients_of_class(pooled, label, fraction, seed)
    }
    for label, class_name in enumerate(CLASS_NAMES):
        patients = {image.patient for image in pooled if image.label == label}
        if patients and patients <= drawn:
            raise UserError(
                f"{class_name} has images of {len(patients)} patients: too few to draw a split by patient "
                "and to keep some to train on; give more patients, or a fraction of 0"
            )
    return drawn


def _drawn_patients_of_class(
    pooled: Sequence[SourceImage], label: int, fraction: float, seed: int
) -> list[str]:
    """Patients of one class, a patient with images of both being of PNEUMONIA, mostly the rarer one."""
    class_of: dict[str, int] = defaultdict(int)
    for image in pooled:
        class_of[image.patient] = max(class_of[image.patient], image.label)
    counts = Counter(
        image.patient for image in pooled if image.label == label and class_of[image.patient] == label
    )
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
