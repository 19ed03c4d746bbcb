import csv
import json
from pathlib import Path

import pytest

from pipeline import runs
from pipeline.training.settings import ModelConfig
from tfrecords_builder.errors import UserError
from tuning import search as search_module
from tuning.search import SearchConfig, search
from tuning.space import SearchSpace


def quick_search(records, run, **settings) -> SearchConfig:
    defaults = {
        "epochs": 1,
        "batch_size": 32,
        "precision": "float32",
        "max_trials": 2,
        "trial_epochs": 2,
        "tuner": "random",
    }
    return SearchConfig(records=records, run=str(run), **defaults | settings)


@pytest.fixture(scope="module", autouse=True)
def small_space():
    """Architectures that train in a second."""

    def chosen(self, hp):
        width = hp.Choice("first_filters", [2, 3, 4, 5])
        return self.base.__class__(
            **{**self.base.__dict__, "model": ModelConfig(filters=(width, width), convolutions=1)}
        )

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(SearchSpace, "chosen", chosen)
        yield


@pytest.fixture(scope="module")
def searched(records, tmp_path_factory) -> Path:
    """The run folder of a search of one trial."""
    run = tmp_path_factory.mktemp("searched") / "run"
    search(quick_search(records, run, max_trials=1))
    return run


@pytest.mark.parametrize("tuner", ["hyperband", "bayesian", "random"])
def test_a_search_leaves_a_leaderboard_and_a_run_of_the_best(records, tmp_path, tuner):
    run = tmp_path / "run"

    board = search(quick_search(records, run, tuner=tuner))

    losses = [row["val_loss"] for row in board]
    assert losses == sorted(losses)
    assert [row["rank"] for row in board] == list(range(1, len(board) + 1))
    with (run / "search" / "leaderboard.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(board) >= 1
    loaded = runs.load(str(run))
    best = board[0]["first_filters"]
    assert loaded.config["model"]["filters"] == [best, best]
    assert loaded.model.get_layer("conv0_0").kernel.shape == (3, 3, 1, best)


def test_a_stopped_search_continues_with_the_trials_it_has(records, tmp_path, monkeypatch):
    run = tmp_path / "run"
    trained = []
    fit = SearchSpace.fit

    def interrupted(self, hp, model, *args, **kwargs):
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(hp.get("first_filters"))
        return fit(self, hp, model, *args, **kwargs)

    monkeypatch.setattr(SearchSpace, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(quick_search(records, run, max_trials=2))
    monkeypatch.setattr(SearchSpace, "fit", lambda *a, **k: (trained.append(0), fit(*a, **k))[1])

    board = search(quick_search(records, run, max_trials=2))

    assert len(board) == 2
    assert len(trained) == 2


def test_a_failing_trial_does_not_end_the_search(records, tmp_path, monkeypatch):
    fit = SearchSpace.fit
    calls = []

    def failing_first(self, hp, model, *args, **kwargs):
        calls.append(hp)
        if len(calls) == 1:
            raise MemoryError("out of memory")
        return fit(self, hp, model, *args, **kwargs)

    monkeypatch.setattr(SearchSpace, "fit", failing_first)

    board = search(quick_search(records, tmp_path / "run", max_trials=2))

    assert len(board) == 1


def test_other_settings_are_refused(searched, records):
    with pytest.raises(UserError, match="max_trials=1, not 2"):
        search(quick_search(records, searched, max_trials=2))


def test_a_run_of_its_own_is_not_searched_into(finished_run, records):
    with pytest.raises(UserError, match="run of its own"):
        search(quick_search(records, finished_run))


def test_settings_are_noted(searched):
    noted = json.loads((searched / "search" / search_module.SETTINGS).read_text())
    assert (noted["tuner"], noted["max_trials"]) == ("random", 1)
