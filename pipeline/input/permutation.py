"""Random orders of any number of records that are computed position by position, without an array of them.

A Feistel network turns the two parts of a position into two others, again and again: one part is moved by a
random number that depends on the other part and on the round, which can be undone, so no two positions become
the same. Here the parts are the row and the column in a grid that is just large enough for all positions; a
position that leaves them is turned again until it is back (Black and Rogaway, "Ciphers with Arbitrary Finite
Domains", CT-RSA 2002: the generalized Feistel cipher).
"""

import math

import tensorflow as tf

ROUNDS = 8
"""With 6 rounds, neighbors stay neighbors too often in orders of 100 records; with 8 they do not."""
# The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
_FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_SHIFTS = (30, 27, 31)


def permute(positions: tf.Tensor, count: int, seed: tf.Tensor) -> tf.Tensor:
    """Gives each position its place in a random order of the numbers 0 to `count - 1`.

    Args:
        positions: int64 (n,), 0 to `count - 1`.
        count: how many positions there are in all.
        seed: int64 (2,), decides the order.

    Returns:
        int64 (n,), 0 to `count - 1`. All positions together give each number exactly once.
    """
    rows = math.isqrt(count - 1) + 1
    columns = -(-count // rows)
    keys = tf.unstack(
        tf.random.stateless_uniform([ROUNDS], seed, tf.int64.min, tf.int64.max, dtype=tf.int64), ROUNDS
    )

    def turn(positions: tf.Tensor) -> tf.Tensor:
        row, column = positions // columns, positions % columns
        for number, key in enumerate(keys):
            if number % 2:
                row = (row + _scramble(column + key)) % rows
            else:
                column = (column + _scramble(row + key)) % columns
        return row * columns + column

    def turn_those_outside(places: tf.Tensor, is_outside: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        places = tf.where(is_outside, turn(places), places)
        return places, places >= count

    begin = (positions, tf.ones_like(positions, tf.bool))
    return tf.while_loop(lambda _, is_outside: tf.reduce_any(is_outside), turn_those_outside, begin)[0]


def _scramble(numbers: tf.Tensor) -> tf.Tensor:
    """Turns int64 numbers into random ones, int64, 0 to 2 ** 62 - 1."""
    bits = tf.bitcast(numbers, tf.uint64)
    for shift, factor in zip(_SHIFTS[:2], _FACTORS, strict=True):
        bits = (bits ^ tf.bitwise.right_shift(bits, tf.constant(shift, tf.uint64))) * tf.constant(
            factor, tf.uint64
        )
    bits ^= tf.bitwise.right_shift(bits, tf.constant(_SHIFTS[2], tf.uint64))
    return tf.bitcast(tf.bitwise.right_shift(bits, tf.constant(2, tf.uint64)), tf.int64)
