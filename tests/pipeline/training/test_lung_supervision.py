import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.lung_supervision import LungSupervision, lung_loss


def by_hand(logits: np.ndarray, lungs: np.ndarray, cell: int) -> float:
    """The cross-entropy place by place."""
    total = weight = 0.0
    for image in range(len(logits)):
        for row in range(logits.shape[1]):
            for column in range(logits.shape[2]):
                part = lungs[image, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
                known = np.abs(part).mean()
                if known:
                    share = (part.mean() / known + 1) / 2
                    probability = 1 / (1 + np.exp(-float(logits[image, row, column, 0])))
                    loss = -share * np.log(probability) - (1 - share) * np.log(1 - probability)
                    total, weight = total + known * loss, weight + known
    return total / weight


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("side", [8, 9])
def test_it_is_the_cross_entropy_of_every_place(in_graph, side):
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, (3, 4, 4, 1)).astype(np.float32)
    lungs = generator.choice([-1, 1], (3, side, side, 1)).astype(np.int8)
    lungs[1] = 0  # nobody knows

    loss = (tf.function(lung_loss) if in_graph else lung_loss)(tf.constant(logits), tf.constant(lungs))

    assert float(loss) == pytest.approx(by_hand(logits, lungs, 2), rel=1e-5)


def test_nothing_known_costs_nothing():
    assert float(lung_loss(np.ones((2, 4, 4, 1), np.float32), np.zeros((2, 8, 8, 1), np.int8))) == 0


def test_it_is_added_in_training_only():
    layer = LungSupervision(0.5)
    logits, lungs = np.full((2, 4, 4, 1), 2.0, np.float32), np.ones((2, 8, 8, 1), np.int8)
    probabilities = np.array([[0.2], [0.9]], np.float32)

    np.testing.assert_array_equal(layer(probabilities, logits, lungs, training=False), probabilities)
    assert not layer.losses
    np.testing.assert_array_equal(layer(probabilities, logits, lungs, training=True), probabilities)
    assert float(layer.losses[0]) == pytest.approx(0.5 * np.log1p(np.exp(-2.0)), rel=1e-5)


def test_it_is_saved_with_its_weight():
    saved = keras.saving.serialize_keras_object(LungSupervision(0.25))

    assert keras.saving.deserialize_keras_object(saved).weight == 0.25
