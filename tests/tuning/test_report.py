"""The report of a search, and the pictures in it."""

import random

import numpy as np
import pytest

from tests.tuning.small_search import pretend_to_train, quick_search
from tuning import pictures
from tuning.architecture_search import search


def test_the_report_has_all_parts_and_needs_no_other_file(records, tmp_path, monkeypatch):
    generator = random.Random(0)
    pretend_to_train(monkeypatch, [generator.random() for _ in range(9)])

    search(quick_search(records, tmp_path / "run", max_trials=9, fix=()))

    page = (tmp_path / "run/search/search.html").read_text()
    for title in ("Leaderboard", "Settings", "Importance", "Learning curves", "Quality against size"):
        assert f"<h2>{title}" in page
    assert "not a medical device" in page
    assert 'src="http' not in page


@pytest.mark.parametrize(
    ("costs", "scores", "expected"),
    [([3, 1, 2], [0.9, 0.5, 0.7], [1, 2, 0]), ([1, 2, 3], [0.9, 0.5, 0.7], [0]), ([1, 1], [0.5, 0.6], [1])],
)
def test_nothing_beats_what_is_on_the_front(costs, scores, expected):
    assert pictures.front(np.array(costs, float), np.array(scores)).tolist() == expected


def test_few_networks_tell_no_importance():
    rows = [{"score": 0.1 * n, "a": n} for n in range(3)]
    assert pictures.importances(rows, ["a"]) is None
