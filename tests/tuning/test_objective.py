"""The score by which a search ranks, against an independent reference."""

import numpy as np
import pytest

from pipeline.evaluation.acquisition import CHANGES, change_images
from tests.small_run import bright_spots
from tuning import objective
from tuning.objective import score


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

    def predict(batch):
        noise = np.random.default_rng(len(batch)).normal(0, 0.05, len(batch))
        return np.clip(brightest(batch) + noise, 0, 1)

    result = score(predict, images, labels, 0.9)

    unchanged = predict(images)
    thresholds = np.sort(unchanged)[::-1]
    threshold = next(t for t in thresholds if (unchanged[labels == 1] >= t).mean() >= 0.9)
    below = unchanged[unchanged < threshold]
    threshold = (threshold + (below.max() if below.size else 0)) / 2
    numbers = []
    for change in (lambda image: image, *CHANGES.values()):
        changed = predict(change_images(images, change))
        called = changed >= threshold
        numbers += [
            area_under_curve(labels, changed),
            ((called & (labels == 1)).sum() / 20 + (~called & (labels == 0)).sum() / 20) / 2,
        ]
    assert result.score == pytest.approx(np.mean(numbers), abs=1e-9)
    assert result.auc == pytest.approx(numbers[0])
    assert result.lowest_auc == pytest.approx(min(numbers[::2]))


def test_what_only_holds_on_unchanged_images_has_a_lower_score(spots):
    images, labels = spots
    known = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}

    def by_heart(batch):
        return np.array([0.1 + 0.8 * known.get(image.tobytes(), 0.5) for image in batch])

    learned, robust = score(by_heart, images, labels, 0.97), score(brightest, images, labels, 0.97)

    assert learned.auc == robust.auc == 1
    assert learned.score < robust.score


def test_at_most_so_many_images_are_scored(spots, monkeypatch):
    monkeypatch.setattr(objective, "MOST_IMAGES", 10)
    sizes = []
    score(lambda batch: sizes.append(len(batch)) or brightest(batch), *spots, 0.97)
    assert set(sizes) == {10}
