"""The score by which a search ranks, against an independent reference."""

import numpy as np
import pytest

from pipeline.evaluation.acquisition import CHANGES, change_images
from tests.small_run import bright_spots
from tuning import objective
from tuning.objective import parts_to_change, score


@pytest.fixture
def spots() -> tuple[np.ndarray, np.ndarray]:
    images, labels = bright_spots(40, seed=3)
    return images, labels.astype(np.float32)


def brightest(images: np.ndarray) -> np.ndarray:
    """A classifier that looks at the brightest tenth of an image."""
    return np.quantile(images.reshape(len(images), -1), 0.95, axis=1) / 255


def area_under_curve(labels, probabilities) -> float:
    """The share of pairs of both classes in which the sick one has the higher probability."""
    sick, healthy = probabilities[labels == 1][:, None], probabilities[labels == 0][None]
    return float(((sick > healthy) + 0.5 * (sick == healthy)).mean())


def test_it_is_the_mean_of_auc_and_balanced_accuracy_over_all_versions(spots):
    images, labels = spots

    def predict(batch):  # with noise that an image always has
        noise = [np.random.default_rng(int(image.sum())).normal(0, 0.05) for image in batch]
        return np.clip(brightest(batch) + noise, 0, 1)

    unchanged = predict(images)
    result = score(predict, images, labels, unchanged, 0.9)

    thresholds = np.sort(unchanged)[::-1]
    threshold = next(t for t in thresholds if (unchanged[labels == 1] >= t).mean() >= 0.9)
    below = unchanged[unchanged < threshold]
    threshold = (threshold + (below.max() if below.size else 0)) / 2
    numbers = []
    rank = np.array([(labels[:number] == labels[number]).sum() for number in range(40)])
    for number, change in enumerate((lambda image: image, *CHANGES.values()), -1):
        # 20 images of each class make two parts of 10; every other change is made to the same part.
        part = rank % 2 == number % 2 if number >= 0 else rank >= 0
        changed, truth = predict(change_images(images[part], change)), labels[part]
        called = changed >= threshold
        numbers += [
            area_under_curve(truth, changed),
            (called[truth == 1].mean() + (~called)[truth == 0].mean()) / 2,
        ]
    assert result.score == pytest.approx(np.mean(numbers), abs=1e-9)
    assert result.auc == pytest.approx(numbers[0])
    assert result.lowest_auc == pytest.approx(min(numbers[::2]))


def test_what_only_holds_on_unchanged_images_has_a_lower_score(spots):
    images, labels = spots
    known = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}

    def by_heart(batch):
        return np.array([0.1 + 0.8 * known.get(image.tobytes(), 0.5) for image in batch])

    learned, robust = (
        score(predict, images, labels, predict(images), 0.97) for predict in (by_heart, brightest)
    )

    assert learned.auc == robust.auc == 1
    assert learned.score < robust.score


def test_at_most_so_many_images_are_scored(spots, monkeypatch):
    monkeypatch.setattr(objective, "MOST_IMAGES", 10)
    sizes = []
    score(lambda batch: sizes.append(len(batch)) or brightest(batch), *spots, brightest(spots[0]), 0.97)
    assert sizes == [10 * len(CHANGES)]


@pytest.mark.parametrize(
    ("healthy", "sick", "parts"), [(8, 8, 1), (40, 25, 2), (134, 388, 13), (500, 500, 13)]
)
def test_each_change_is_made_to_another_part_of_the_images(healthy, sick, parts):
    labels = np.random.default_rng(0).permutation(np.repeat([0.0, 1.0], [healthy, sick]))

    positions = parts_to_change(labels)

    assert len(positions) == len(CHANGES)
    assert sorted(np.concatenate(positions[:parts])) == list(range(healthy + sick))
    for part in positions:
        assert all((labels[part] == label).sum() >= min(10, healthy, sick) for label in (0, 1))
