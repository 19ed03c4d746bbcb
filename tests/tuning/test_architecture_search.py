"""A search that really trains: what it leaves, and how it continues."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from pipeline import runs
from pipeline.training import fit, recipe
from tests.small_run import Killed
from tests.tuning.small_search import pretend_to_train, quick_search, search_small_networks
from tfrecords_builder.errors import UserError
from tuning import trial
from tuning.architecture_search import search
from tuning.settings import SearchConfig


@pytest.fixture(scope="module", autouse=True)
def small_space():
    with pytest.MonkeyPatch.context() as monkeypatch:
        search_small_networks(monkeypatch)
        yield


@pytest.fixture(scope="module")
def searched(records, tmp_path_factory) -> Path:
    """The run folder of a search of one trial."""
    run = tmp_path_factory.mktemp("searched") / "run"
    search(quick_search(records, run, max_trials=1))
    return run


def test_a_search_leaves_a_leaderboard_a_report_and_a_run_of_the_best(records, tmp_path):
    run = tmp_path / "run"

    rows = search(quick_search(records, run, tuner="bayesian"))

    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert [row["rank"] for row in rows] == [1, 2]
    with (run / "search/leaderboard.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2
    assert "<title>Search " in (run / "search/search.html").read_text()
    loaded = runs.load(str(run))
    best = rows[0]["model.first_filters"]
    assert loaded.config["model"]["filters"] == [best, best]
    assert loaded.model.get_layer("conv0_0").kernel.shape == (3, 3, 1, best)
    runs.refuse_foreign_folder(str(run), overwrite=True)  # it knows all its files


@pytest.mark.slow
def test_a_search_anew_keeps_its_own_trials_and_report(records, searched, tmp_path):
    run = Path(shutil.copytree(searched, tmp_path / "run"))

    search(quick_search(records, run, max_trials=2, overwrite=True))

    assert (run / "search/search.html").exists()
    assert len([path for path in (run / "search/trials").iterdir() if path.is_dir()]) == 2
    assert runs.is_finished(str(run))


@pytest.mark.slow
def test_hyperband_goes_on_with_the_weights_of_the_trial_that_it_continues(records, tmp_path):
    run = tmp_path / "run"

    rows = search(quick_search(records, run, tuner="hyperband", max_trials=4, trial_epochs=3))

    with (run / "search/trials/3/history.csv").open() as file:
        last = list(csv.DictReader(file))
    first = {}
    for name in "012":
        with (run / f"search/trials/{name}/history.csv").open() as file:
            first[name] = list(csv.DictReader(file))
    assert [len(history) for history in first.values()] == [1, 1, 1]
    assert last[0] in [history[0] for history in first.values()]
    assert [int(row["epoch"]) for row in last] == [1, 2, 3]
    assert len(rows) == 3  # the trial that was continued is no row of its own
    assert {row["trial"]: row["epochs"] for row in rows}["3"] == 3


def test_a_trial_is_a_run_that_can_be_evaluated(searched):
    run = runs.load(str(searched / "search/trials/0"))
    assert 0 < run.operating_point.threshold < 1


@pytest.fixture
def interrupted(records, tmp_path, monkeypatch) -> SearchConfig:
    """The settings of a search of two trials that was killed in the second epoch of the second. Its precision
    was measured to be mixed_bfloat16; a second measurement would say float32.
    """
    config = quick_search(records, tmp_path / "run", max_trials=2, precision="auto")
    answers = iter(["mixed_bfloat16", "float32"])
    monkeypatch.setattr(recipe, "fastest", lambda *_: next(answers))
    with monkeypatch.context() as context:
        epochs = []
        check = trial._CheckClock.on_epoch_end

        def kill_after_three(self, *arguments):
            check(self, *arguments)
            epochs.append(arguments)
            if len(epochs) == 3:
                raise Killed

        context.setattr(trial._CheckClock, "on_epoch_end", kill_after_three)
        with pytest.raises(Killed):
            search(config)
    return config


@pytest.mark.slow
def test_a_killed_search_keeps_its_epochs_and_its_precision(interrupted, monkeypatch):
    epochs, in_precision = [], []
    check, build = trial._CheckClock.on_epoch_end, fit.build_classifier
    monkeypatch.setattr(trial._CheckClock, "on_epoch_end", lambda *a: (epochs.append(a[1]), check(*a))[1])
    monkeypatch.setattr(fit, "build_classifier", lambda *a: (in_precision.append(a[2]), build(*a))[1])

    rows = search(interrupted)

    assert len(rows) == 2
    assert epochs == [1]  # the second epoch of the second trial
    assert set(in_precision) == {"mixed_bfloat16"}
    assert runs.stored_environment(interrupted.run)["precision"] == "mixed_bfloat16"
    assert runs.load(interrupted.run).config["precision"] == "auto"


@pytest.mark.slow
def test_killed_or_not_the_trials_and_the_winner_are_the_same(records, tmp_path, monkeypatch):
    def run_of(name, *, kill_at=()):
        config = quick_search(records, tmp_path / name, max_trials=2, trial_epochs=2)
        check, count = trial._CheckClock.on_epoch_end, []

        def maybe_kill(self, *arguments):
            check(self, *arguments)
            count.append(arguments)
            if len(count) in kill_at:
                raise Killed

        with monkeypatch.context() as context:
            context.setattr(trial._CheckClock, "on_epoch_end", maybe_kill)
            context.setattr("tuning.architecture_search.folds.train", lambda *_: None)
            for _ in kill_at:
                with pytest.raises(Killed):
                    search(config)
            rows = search(config)
        return [{k: v for k, v in row.items() if k not in ("seconds", "latency_ms")} for row in rows]

    assert run_of("killed", kill_at=(1, 3)) == run_of("unharmed")


def test_a_seed_of_zero_is_a_seed(records, tmp_path, monkeypatch):
    def settings(run, seed):
        pretend_to_train(monkeypatch, [0.5] * 3)
        rows = search(quick_search(records, tmp_path / run, max_trials=3, seed=seed))
        return [row["model.first_filters"] for row in rows]

    assert settings("a", 0) == settings("b", 0)


def test_the_first_trial_has_the_settings_that_are_given(searched):
    stored = json.loads((searched / "search/trials/0/config.json").read_text())
    assert stored["model"]["filters"] == [16, 16]
    assert stored["learning_rate"] == quick_search("", "run").learning_rate


def test_nothing_is_written_if_the_precision_cannot_be_measured(records, tmp_path, monkeypatch):
    def killed(*_):
        raise Killed

    monkeypatch.setattr(recipe, "fastest", killed)

    with pytest.raises(Killed):
        search(quick_search(records, tmp_path / "run", precision="auto"))

    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_best_of_several_seeds_of_the_best_finalist_is_the_run(records, tmp_path):
    run = tmp_path / "run"

    search(quick_search(records, run, max_trials=2, trial_epochs=1, finalists=2, seeds=2))

    with (run / "search/finalists.csv").open() as file:
        table = list(csv.DictReader(file))
    best = max(table, key=lambda row: float(row["mean_score"]))
    scores = [float(best["score_0"]), float(best["score_1"])]
    chosen = run / "search/finalists" / f"{best['trial']}-{scores.index(max(scores))}"
    assert (run / "model.keras").read_bytes() == (chosen / "model.keras").read_bytes()
    assert json.loads((run / "config.json").read_text())["seed"] == scores.index(max(scores))


@pytest.mark.slow
def test_the_best_networks_may_be_trained_in_folds(records, tmp_path):
    run = tmp_path / "run"
    settings = {"max_trials": 2, "trial_epochs": 1, "folds": 2}

    rows = search(quick_search(records, run, fold_networks=2, **settings))

    assert (run / "out_of_fold.csv").exists()
    assert runs.load(str(run)).config["folds"] == 2
    assert filters_of_folds(run) == [row["model.first_filters"] for row in rows]

    search(quick_search(records, run, **settings))  # other networks than before

    assert filters_of_folds(run) == [rows[0]["model.first_filters"]] * 2
    (aside,) = (run / "search").glob("earlier-*")
    assert filters_of_folds(aside) == [row["model.first_filters"] for row in rows]


def filters_of_folds(run) -> list[int]:
    configs = [json.loads((run / f"folds/{fold}/config.json").read_text()) for fold in (1, 2)]
    return [config["model"]["filters"][0] for config in configs]


def test_other_settings_are_refused(searched, records):
    with pytest.raises(UserError, match="trial_epochs=2, not 3"):
        search(quick_search(records, searched, max_trials=1, trial_epochs=3))


def test_the_run_folder_of_a_training_is_not_searched_into(finished_run, records):
    with pytest.raises(UserError, match="holds a training without a search"):
        search(quick_search(records, finished_run))


def test_the_settings_of_the_search_are_written(searched):
    settings = json.loads((searched / "search" / "settings.json").read_text())
    assert (settings["tuner"], settings["max_trials"]) == ("random", 1)
    assert (settings["precision"], settings["resolved_precision"]) == ("float32", "float32")
    assert settings["data_order"] == "indexed"


def test_a_finished_trial_without_its_result_is_named(searched, records, tmp_path):
    run = shutil.copytree(searched, tmp_path / "run")
    (run / "search/trials/0/trial.json").unlink()
    with pytest.raises(UserError, match=r"trials/0' has no trial.json"):
        search(quick_search(records, run, max_trials=1))


@pytest.mark.slow
def test_the_run_folder_may_be_a_url(records, tmp_path):
    # Not ram://: there a file that is opened again is appended to, and KerasTuner writes its files again.
    config = quick_search(records, f"file://{tmp_path}/run", max_trials=1, trial_epochs=1)

    rows = search(config)

    assert len(rows) == 1
    assert search(config) == rows
    assert runs.is_finished(str(tmp_path / "run"))
