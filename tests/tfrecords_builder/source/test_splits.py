from collections import Counter

import pytest

from tfrecords_builder.errors import UserError
from tfrecords_builder.source.find import find_source_images
from tfrecords_builder.source.images import SourceImage
from tfrecords_builder.source.names import patient_and_subtype
from tfrecords_builder.source.splits import draw_test, draw_validation

# Names of the public dataset, with patients who have several images and both subtypes under one number.
REAL_NAMES = {
    1: [
        "person1_bacteria_1.jpeg",
        "person1_bacteria_2.jpeg",
        "person1_virus_6.jpeg",
        "person1000_bacteria_2931.jpeg",
        "person1000_virus_1681.jpeg",
        "person1001_bacteria_2932.jpeg",
        "person1002_bacteria_2933.jpeg",
        "person1003_bacteria_2934.jpeg",
        "person23_bacteria_106.jpeg",
        "person23_bacteria_107.jpeg",
        "person23_bacteria_78.jpeg",
        "person109_bacteria_512.jpeg",
        "person109_bacteria_519.jpeg",
        "person109_virus_203.jpeg",
    ],
    0: [
        "IM-0115-0001.jpeg",
        "IM-0117-0001.jpeg",
        "IM-0669-0001-0001.jpeg",
        "IM-0669-0001-0002.jpeg",
        "NORMAL2-IM-0669-0001.jpeg",
        "NORMAL2-IM-1427-0001.jpeg",
        "NORMAL2-IM-1430-0001.jpeg",
        "NORMAL2-IM-1228-0001-0001.jpeg",
        "NORMAL2-IM-1228-0001-0002.jpeg",
    ],
}


def image(name: str, label: int, split: str = "train") -> SourceImage:
    return SourceImage(f"{split}/{label}/{name}", split, label, *patient_and_subtype(name))


def real_images() -> list[SourceImage]:
    return [image(name, label) for label, names in REAL_NAMES.items() for name in names]


def patients_of(images, split):
    return {image.patient for image in images if image.split == split}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5])
def test_no_patient_is_in_train_and_val_on_real_names(seed, fraction):
    images = draw_validation(real_images(), fraction, seed)

    assert not patients_of(images, "train") & patients_of(images, "val")
    assert {i.label for i in images if i.split == "val"} == {0, 1}


def test_no_patient_is_in_train_and_val_of_the_real_folder(real_xrays):
    images = draw_validation(find_source_images(str(real_xrays)).images, 0.1, seed=0)

    assert not patients_of(images, "train") & patients_of(images, "val")
    for label in (0, 1):
        of_class = Counter(i.split for i in images if i.label == label)
        assert of_class["val"] / (of_class["val"] + of_class["train"]) == pytest.approx(0.1, abs=0.002)


def test_val_of_the_source_is_pooled_with_train_and_test_does_not_change():
    images = [
        *real_images(),
        image("person9_virus_1.jpeg", 1, "val"),
        image("person1_virus_9.jpeg", 1, "test"),
    ]

    drawn = draw_validation(images, 0.3, seed=1)

    assert [i.source for i in drawn] == [i.source for i in images]
    assert [i.source for i in drawn if i.split == "test"] == ["test/1/person1_virus_9.jpeg"]
    assert draw_validation(images, 0, seed=1) == images


def test_the_seed_decides_and_the_order_of_the_files_does_not():
    images = real_images()

    def validation(images, seed):
        return {i.source for i in draw_validation(images, 0.4, seed) if i.split == "val"}

    assert validation(images, 3) == validation(images[::-1], 3)
    assert len({frozenset(validation(images, seed)) for seed in range(10)}) > 1


def images_of_patients(count: int) -> list[SourceImage]:
    """Several images of each patient: every third has pneumonia on 2 of 6 images, the others on none of 3."""
    return [
        SourceImage(
            f"{patient}_{number}.png", "train", int(patient % 3 == 0 and number < 2), str(patient), ""
        )
        for patient in range(count)
        for number in range(6 if patient % 3 == 0 else 3)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_source_without_splits_is_split_three_ways_by_patient_and_stratified(seed):
    images = images_of_patients(300)

    drawn = draw_validation(draw_test(images, 0.2, seed), 0.1, seed)

    assert [i.source for i in drawn] == [i.source for i in images]
    patients = [patients_of(drawn, split) for split in ("train", "val", "test")]
    assert sum(len(of_split) for of_split in patients) == len(set.union(*patients)) == 300
    for label in (0, 1):
        of_class = Counter(i.split for i in drawn if i.label == label)
        assert of_class["test"] / of_class.total() == pytest.approx(0.2, abs=0.03)
        assert of_class["val"] / (of_class["val"] + of_class["train"]) == pytest.approx(0.1, abs=0.03)


def test_a_test_split_of_the_source_is_kept_and_a_fraction_of_0_draws_none():
    with_test = [*real_images(), image("person9_virus_1.jpeg", 1, "test")]

    assert draw_test(with_test, 0.3, seed=1) == with_test
    assert draw_test(real_images(), 0, seed=1) == real_images()


def test_drawing_test_changes_no_other_split():
    images = [*real_images(), image("person9_virus_1.jpeg", 1, "val")]

    drawn = draw_test(images, 0.3, seed=1)

    moved = [(old.split, new.split) for old, new in zip(images, drawn, strict=True) if old.split != new.split]
    assert len(moved) >= 4
    assert {new for _, new in moved} == {"test"}


def test_the_seed_decides_the_test_split_and_a_new_patient_moves_hardly_any_other():
    images = images_of_patients(300)

    def test_patients(images, seed):
        return patients_of(draw_test(images, 0.2, seed), "test")

    assert test_patients(images, 3) == test_patients(images[::-1], 3)
    assert test_patients(images, 3) != test_patients(images, 4)
    assert len(test_patients(images, 3) ^ test_patients(images_of_patients(301), 3)) <= 4


@pytest.mark.parametrize("draw", [draw_test, draw_validation])
def test_a_class_of_one_patient_cannot_be_split(draw):
    images = [image(name, 0) for name in REAL_NAMES[0]] + [
        image("person1_virus_1.png", 1),
        image("person1_virus_2.png", 1),
    ]

    with pytest.raises(UserError, match="PNEUMONIA has images of 1 patients"):
        draw(images, 0.1, seed=0)
