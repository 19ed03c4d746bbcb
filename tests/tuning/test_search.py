import pytest

from tuning import architecture_search
from tuning.search import main
from tuning.settings import SearchConfig


def test_the_command_prints_the_leaderboard_and_the_run_folder(monkeypatch, capsys):
    rows = [{"rank": 1, "trial": "07", "score": 0.123456, "model.blocks": 3}]
    monkeypatch.setattr(architecture_search, "search", lambda _: rows)

    main(SearchConfig("records", "run"))

    lines = capsys.readouterr().out.splitlines()
    header, row = (next(line for line in lines if word in line) for word in ("rank", "0.1235"))
    assert "blocks" in header
    assert "07" in row
    assert lines[-1] == "run"


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_trials": 0},
        {"trial_epochs": 0},
        {"epochs": 0},
        {"workers": -1},
        {"finalists": 0},
        {"max_time": 0.0},
        {"max_params": -1},
        {"fix": ("x=1",)},
    ],
)
def test_impossible_searches_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        SearchConfig("records", "run", **wrong)
