"""The arithmetic that a search shows is the one that KerasTuner's Hyperband does."""

import keras_tuner
import pytest

from tuning import hyperband


@pytest.mark.parametrize("trial_epochs", [1, 2, 3, 8, 9, 27, 50])
def test_the_brackets_are_those_of_keras_tuner(trial_epochs):
    oracle = keras_tuner.oracles.HyperbandOracle(objective="val_loss", max_epochs=trial_epochs, factor=3)
    expected = [
        [
            (oracle._get_size(number, at), oracle._get_epochs(number, at))
            for at in range(oracle._get_num_rounds(number))
        ]
        for number in reversed(range(oracle._get_num_brackets()))
    ]
    found = [[(part.trials, part.epochs) for part in bracket] for bracket in hyperband.brackets(trial_epochs)]
    assert found == expected


def test_the_default_search_is_all_brackets_once():
    whole, left = hyperband.within(9, 23)
    assert (len(whole), left) == (3, 0)
    assert hyperband.total_epochs(9, 23) == 9 * 1 + 3 * 2 + 1 * 6 + 5 * 3 + 2 * 6 + 3 * 9


def test_a_bracket_that_is_cut_off_is_said_to_be():
    assert hyperband.in_words(9, 13).splitlines() == [
        "bracket 1: 9 up to epoch 1, then the best 3 up to epoch 3, then the best 1 up to epoch 9"
    ]
    assert (
        hyperband.in_words(9, 14).splitlines()[1] == "then 1 trials of a bracket that --max-trials cuts off"
    )
