"""Orders that are computed position by position."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline.input.permutation import permute


def order(count: int, seed: int) -> np.ndarray:
    positions = tf.range(count, dtype=tf.int64)
    return permute(positions, count, tf.constant([7, seed], tf.int64)).numpy()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 12, 16, 17, 100, 1000, 99_991])
def test_every_number_comes_exactly_once(count):
    np.testing.assert_array_equal(np.sort(order(count, 0)), np.arange(count))


def test_a_part_of_an_order_is_that_of_the_whole():
    whole = order(5000, 3)

    part = permute(tf.range(1234, 1300, dtype=tf.int64), 5000, tf.constant([7, 3], tf.int64))

    np.testing.assert_array_equal(part, whole[1234:1300])
    assert not np.array_equal(whole, order(5000, 4))


def test_so_it_is_in_a_graph():
    in_graph = tf.function(lambda positions, seed: permute(positions, 5000, seed))

    found = in_graph(tf.range(5000, dtype=tf.int64), tf.constant([7, 3], tf.int64))

    np.testing.assert_array_equal(found, order(5000, 3))


def test_places_among_100_million_spread_evenly_and_differ():
    count = 100_000_000

    places = permute(tf.range(count - 100_000, count, dtype=tf.int64), count, tf.constant([7, 0], tf.int64))

    assert len(np.unique(places)) == 100_000
    counts = np.bincount(places.numpy() // (count // 100), minlength=100)
    assert ((counts - 1000) ** 2 / 1000).sum() < 160  # chi-square of 99 degrees: above that in 1 of 10,000


@pytest.mark.parametrize(("count", "orders"), [(12, 3000), (100, 1000)])
def test_neighbors_stay_neighbors_as_rarely_as_in_a_true_shuffle(count, orders):
    draw = tf.function(lambda seed: permute(tf.range(count, dtype=tf.int64), count, seed))
    drawn = np.stack([draw(tf.constant([7, number], tf.int64)).numpy() for number in range(orders)])
    steps, expected = np.diff(drawn, axis=1), orders * (count - 1) / count

    for step in (1, -1):
        assert abs((steps == step).sum() - expected) < 4 * np.sqrt(expected)
