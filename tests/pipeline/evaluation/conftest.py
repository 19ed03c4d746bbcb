from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pipeline.evaluation.predictions import Predictions


@pytest.fixture(scope="session")
def make_predictions() -> Callable[..., Predictions]:
    """Makes predictions of the given labels and probabilities."""

    def make(labels: Sequence[float], probabilities: Sequence[float], threshold=0.5, subtypes=None):
        count = len(labels)
        return Predictions(
            split="test",
            labels=np.array(labels, np.float32),
            probabilities=np.array(probabilities, np.float32),
            threshold=threshold,
            sources=tuple(f"{position}.png" for position in range(count)),
            patients=tuple(f"patient{position}" for position in range(count)),
            subtypes=tuple(subtypes or [""] * count),
            lung_areas=np.full(count, 0.4, np.float32),
            familiarities=np.full(count, 0.5, np.float32),
            warnings=("",) * count,
            sizes=np.zeros((count, 2), np.int64),
            columns={},
        )

    return make


@pytest.fixture(scope="session")
def predictions(make_predictions) -> Predictions:
    """Predictions of 120 images whose classes overlap."""
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 2, 120)
    return make_predictions(labels, np.clip(0.4 * labels + generator.uniform(0, 0.6, 120), 0, 1), 0.45)
