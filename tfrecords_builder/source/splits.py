"""Draws splits by patient, so that all images of a patient are in one of them."""

import dataclasses
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from tfrecords_builder.errors import UserError
from tfrecords_builder.records import CLASS_NAMES
from tfrecords_builder.source.images import SourceImage


def draw_test(images: Sequence[SourceImage], fraction: float, seed: int) -> list[SourceImage]:
    """Draws a test split, stratified by class, for sources that have none.

    Patients are drawn as `draw_validation` draws them. Call `draw_validation` after this function.

    Args:
        images: the images of all splits. If one of them is in `test`, no split changes, except for 1.
        fraction: approximate fraction of the images of each class that go to `test`; 0 draws none, and with
            1 all images go there.
        seed: decides which patients are drawn.

    Returns:
        The images in the same order, with their new splits.

    Raises:
        UserError: if all patients of a class would go to `test`.
    """
    if fraction == 1:
        return [dataclasses.replace(image, split="test") for image in images]
    if not fraction or any(image.split == "test" for image in images):
        return list(images)
    drawn = _draw_patients(images, fraction, seed)
    return [dataclasses.replace(image, split="test") if image.patient in drawn else image for image in images]


def draw_validation(images: Sequence[SourceImage], fraction: float, seed: int) -> list[SourceImage]:
    """Pools `train` and `val` and draws a new validation split, stratified by class.

    Patients are taken in the order of a seeded hash of their names, so that adding or removing an image moves
    no other patient. `test` does not change.

    Args:
        images: the images of all splits.
        fraction: approximate fraction of the pooled images of each class that go to `val`; 0 keeps the
            splits.
        seed: decides which patients are drawn.

    Returns:
        The images in the same order, with their new splits.

    Raises:
        UserError: if all patients of a class would go to `val`.
    """
    if not fraction:
        return list(images)
    drawn = _draw_patients([image for image in images if image.split != "test"], fraction, seed)

    def with_new_split(image: SourceImage) -> SourceImage:
        if image.split == "test":
            return image
        return dataclasses.replace(image, split="val" if image.patient in drawn else "train")

    return [with_new_split(image) for image in images]


def patients_also_in_test(images: Iterable[SourceImage]) -> list[str]:
    """The patients with images in `test` and in `train` or `val`, sorted."""
    in_test, elsewhere = set[str](), set[str]()
    for image in images:
        (in_test if image.split == "test" else elsewhere).add(image.patient)
    return sorted(in_test & elsewhere)


def _draw_patients(images: Sequence[SourceImage], fraction: float, seed: int) -> set[str]:
    """Draws patients who have about `fraction` of the images of each class."""
    drawn = {
        patient
        for label in range(len(CLASS_NAMES))
        for patient in _draw_patients_of_class(images, label, fraction, seed)
    }
    for label, class_name in enumerate(CLASS_NAMES):
        patients = {image.patient for image in images if image.label == label}
        if patients and patients <= drawn:
            raise UserError(
                f"{class_name} has images of {len(patients)} patients: too few to draw a split by patient "
                "and to keep some for training; add patients, set the fraction to 0, or, if all DICOM files "
                "have one PatientID, add --no-dicom-patient-id"
            )
    return drawn


def _draw_patients_of_class(
    images: Sequence[SourceImage], label: int, fraction: float, seed: int
) -> list[str]:
    """Draws patients of one class. A patient with images of both classes counts for PNEUMONIA."""
    class_of: dict[str, int] = defaultdict(int)
    for image in images:
        class_of[image.patient] = max(class_of[image.patient], image.label)
    counts = Counter(
        image.patient for image in images if image.label == label and class_of[image.patient] == label
    )
    wanted = max(1, round(fraction * counts.total()))
    drawn: list[str] = []
    num_images = 0
    for patient in sorted(counts, key=lambda name: seeded_hash(seed, name)):
        if num_images + counts[patient] <= wanted or not drawn:
            drawn.append(patient)
            num_images += counts[patient]
    return drawn


def seeded_hash(seed: int, text: str) -> bytes:
    """A hash to sort texts by, in an order that looks random and depends only on the texts and the seed."""
    return hashlib.sha256(f"{seed}:{text}".encode("utf-8", "surrogateescape")).digest()
