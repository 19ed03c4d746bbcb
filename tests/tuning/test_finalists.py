"""Which networks the folds of the final training take in turn."""

import dataclasses

import pytest

from tests.small_run import SIDE
from tests.tuning.small_search import quick_search
from tuning import finalists, space


def filters_of_others(rows, **settings) -> list[tuple[int, ...]]:
    config = quick_search("", "run", **settings)
    base = dataclasses.replace(config.training(), seed=7)

    def training_config(row):
        return space.training_config(config.training(), row)

    winner = dataclasses.replace(training_config(rows[0]), seed=base.seed)
    others = finalists.others_for_folds(config, rows, winner, training_config, SIDE)
    assert all(other.seed == winner.seed for other in others)
    return [other.model.filters for other in others]


def row(filters, blocks=2, **settings):
    return {"model.blocks": blocks, "model.first_filters": filters, "model.growth": 1, **settings}


def test_the_best_others_take_part():
    rows = [row(4), row(5), row(6)]
    assert filters_of_others(rows, folds=3, fold_networks=2) == [(5, 5)]
    assert filters_of_others(rows, folds=3, fold_networks=3) == [(5, 5), (6, 6)]


def test_without_folds_or_with_one_network_there_are_no_others():
    rows = [row(4), row(5)]
    assert filters_of_others(rows, folds=0, fold_networks=2) == []
    assert filters_of_others(rows, folds=2) == []


def test_networks_with_features_of_another_size_are_passed_over(caplog):
    caplog.set_level("INFO")
    rows = [row(4), row(5, blocks=3), row(6, **{"model.stem_stride": 2}), row(7, blocks=1), row(8)]

    assert filters_of_others(rows, folds=3, fold_networks=2) == [(8, 8)]
    assert filters_of_others(rows[:3], folds=3, fold_networks=2) == []
    assert "no more networks have features of this size" in caplog.text


def test_at_least_one_network_takes_part():
    with pytest.raises(ValueError, match=r"fold_networks must be at least 1. Received: 0"):
        quick_search("", "run", fold_networks=0)
