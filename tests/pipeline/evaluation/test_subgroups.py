import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from pipeline.evaluation import intervals
from pipeline.evaluation.subgroups import Subgroup, adjust, divide, measure


@pytest.fixture
def images() -> np.ndarray:
    """120 images of rising brightness."""
    levels = np.repeat(np.arange(120, dtype=np.uint8), 64).reshape(120, 8, 8, 1)
    return levels + np.random.default_rng(0).integers(0, 2, levels.shape).astype(np.uint8)


def test_sensitivity_of_a_subtype_counts_its_pneumonias_alone(make_predictions, images):
    predictions = make_predictions(
        labels=[1, 1, 1, 1, 0],
        probabilities=[0.9, 0.1, 0.8, 0.1, 0.9],
        subtypes=["virus", "virus", "bacteria", "", "virus"],
    )

    of_subtypes = measure(predictions, images[:5]).subgroups["subtype"]

    assert {name: group.sensitivity.value for name, group in of_subtypes.items()} == {
        "bacteria": 1,
        "virus": 0.5,
    }
    assert of_subtypes["virus"].images == {"NORMAL": 1, "PNEUMONIA": 2}
    assert math.isnan(of_subtypes["bacteria"].specificity.value)
    assert math.isnan(of_subtypes["bacteria"].auc.value)


def test_terciles_divide_the_images_evenly_by_quantity(predictions, images):
    thirds = divide(predictions, images)["brightness"]

    assert [int(mask.sum()) for mask in thirds.values()] == [40, 40, 40]
    means = [images[mask].mean() for mask in thirds.values()]
    assert means == sorted(means)


def test_a_group_that_is_worse_is_found_and_the_others_are_not(make_predictions, images):
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, 120)
    probabilities = np.clip(labels * 0.8 + generator.uniform(0, 0.2, 120), 0, 1)
    dark = np.arange(120) < 40
    probabilities[dark & (labels == 1) & (np.arange(120) % 2 == 0)] = 0.1

    groups = measure(make_predictions(labels, probabilities), images).subgroups["brightness"]

    assert groups["low"].sensitivity_p_value < 0.01
    assert groups["low"].differs
    assert groups["low"].sensitivity.value < 0.7 < groups["high"].sensitivity.value
    assert groups["low"].specificity_p_value > 0.05


def test_images_that_are_warned_of_are_a_group(make_predictions, images):
    predictions = dataclasses.replace(
        make_predictions([0, 1] * 5, [0.1, 0.9] * 5), warnings=("no lungs found",) * 4 + ("",) * 6
    )

    groups = measure(predictions, images[:10]).subgroups["warning"]

    assert groups["warned"].images == {"NORMAL": 2, "PNEUMONIA": 2}
    assert groups["not warned"].images == {"NORMAL": 3, "PNEUMONIA": 3}
    assert "warning" in divide(make_predictions([0, 1], [0.1, 0.9]), images[:2])  # "not warned" alone


def test_the_originals_aspect_and_size_divide_the_images_where_they_are_known(predictions, images):
    widths = np.arange(120) + 200
    sizes = np.stack([widths, np.full(120, 100)], axis=1)

    groups = divide(dataclasses.replace(predictions, sizes=sizes), images)

    for name in ("original aspect", "original pixels"):
        assert [list(np.flatnonzero(mask)) for mask in groups[name].values()] == [
            list(range(first, first + 40)) for first in (0, 40, 80)
        ]
    assert "original aspect" not in divide(predictions, images)
    same = dataclasses.replace(predictions, sizes=np.full((120, 2), 224))
    assert "original aspect" not in divide(same, images)


def count(groups: dict[str, Subgroup]) -> dict[str, int]:
    return {name: sum(group.images.values()) for name, group in groups.items()}


def test_columns_divide_the_images_by_value_or_by_terciles(predictions, images):
    columns = {
        "sex": ("F", "M", "") * 40,
        "age": ("", *(str(number) for number in range(119))),
        "remark": tuple(f"remark {number}" for number in range(120)),
        "dose": ("nan", *(str(number) for number in range(119))),
    }

    measured = measure(dataclasses.replace(predictions, columns=columns), images)

    sex, age = measured.subgroups["column sex"], measured.subgroups["column age"]
    assert count(sex) == {"F": 40, "M": 40, "(empty)": 40}
    assert count(age) == {"low": 40, "middle": 39, "high": 40, "(empty)": 1}
    assert measured.left_out_columns == ("remark", "dose")
    assert not {"column remark", "column dose"} & measured.subgroups.keys()


def test_holms_adjustment_by_hand():
    assert adjust([0.01, math.nan, 0.04, 0.03]) == pytest.approx([0.03, math.nan, 0.06, 0.06], nan_ok=True)
    assert adjust([0.9, 0.8]) == [1, 1]


def test_without_a_difference_few_groups_differ(make_predictions, images, monkeypatch):
    """Of 40 sets of images without any difference, at most 10 % have a group that is said to differ."""
    monkeypatch.setattr(intervals, "BOOTSTRAP_RESAMPLES", 2)  # the intervals do not matter here
    differing = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        labels = generator.integers(0, 2, 120)
        probabilities = np.clip(0.4 * labels + generator.uniform(0, 0.6, 120), 0, 1)
        shuffled = images[generator.permutation(120)]
        groups = measure(make_predictions(labels, probabilities), shuffled).subgroups
        differing += any(group.differs for kind in groups.values() for group in kind.values())

    assert differing <= stats.binom.ppf(0.999, 40, 0.05)
