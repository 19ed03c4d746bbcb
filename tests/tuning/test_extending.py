"""A search that goes on: with more trials or epochs, on moved records, after a kill, or not at all."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from pipeline import runs
from tests.small_run import Killed
from tests.tuning.small_search import pretend_to_train, quick_search, search_small_networks
from tfrecords_builder import manifest
from tfrecords_builder.errors import UserError
from tuning import tuners
from tuning.architecture_search import search


@pytest.fixture(scope="module", autouse=True)
def small_space():
    with pytest.MonkeyPatch.context() as monkeypatch:
        search_small_networks(monkeypatch)
        yield


@pytest.fixture(scope="module")
def searched_once(records, tmp_path_factory) -> Path:
    """The run folder of a search whose only trial reached a score of 0.5."""
    run = tmp_path_factory.mktemp("searched") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        pretend_to_train(monkeypatch, [0.5], best=False)
        search(quick_search(records, run, max_trials=1))
    return run


@pytest.fixture
def searched(searched_once, tmp_path) -> Path:
    return Path(shutil.copytree(searched_once, tmp_path / "[run]*?"))


def epochs_of(run: Path) -> list[float]:
    with (run / "history.csv").open() as file:
        return [float(row["epoch"]) for row in csv.DictReader(file)]


def filters_of(run: Path) -> list[int]:
    return json.loads((run / "config.json").read_text())["model"]["filters"]


@pytest.mark.parametrize("tuner", ["hyperband", "bayesian", "random"])
def test_more_trials_extend_a_search(records, tmp_path, monkeypatch, tuner):
    run = tmp_path / "[run]*?"
    monkeypatch.setattr(tuners, "HALVING_FACTOR", 2)  # the first bracket of two epochs has then three trials
    trials = pretend_to_train(monkeypatch, [0.5, 0.4, 0.3, 0.6])

    first = search(quick_search(records, run, tuner=tuner, max_trials=2))
    extended = search(quick_search(records, run, tuner=tuner, max_trials=4))

    joined = tuner == "hyperband"  # its fourth trial continues one of the first three
    assert [len(first), len(extended), len(trials)] == [2, 4 - joined, 4]
    assert joined or {row["trial"] for row in first} < {row["trial"] for row in extended}
    assert json.loads((run / "search/settings.json").read_text())["max_trials"] == 4


def test_hyperband_starts_over_until_there_are_as_many_trials_as_asked_for(records, tmp_path, monkeypatch):
    trials = pretend_to_train(monkeypatch, [0.5] * 4)
    config = quick_search(records, tmp_path / "run", tuner="hyperband", max_trials=4, trial_epochs=1)

    search(config)  # a single bracket of one epoch has one trial

    assert len(trials) == 4


def test_the_training_is_kept_if_the_best_stays_the_best(searched, records, monkeypatch):
    before = (searched / "model.keras").read_bytes()
    pretend_to_train(monkeypatch, [0.1], best=False)

    search(quick_search(records, searched, max_trials=2))

    assert (searched / "model.keras").read_bytes() == before
    assert not list((searched / "search").glob("earlier-*"))


@pytest.mark.slow
def test_another_best_is_trained_and_the_earlier_training_is_kept_aside(searched, records, monkeypatch):
    before, earlier_filters = (searched / "model.keras").read_bytes(), filters_of(searched)
    pretend_to_train(monkeypatch, [0.9], best=False)

    rows = search(quick_search(records, searched, max_trials=2))

    best = rows[0]["model.first_filters"]
    assert filters_of(searched) == [best, best] != earlier_filters
    assert runs.load(str(searched)).model.get_layer("conv0_0").kernel.shape[-1] == best
    (earlier,) = (searched / "search").glob("earlier-*")
    assert (earlier / "model.keras").read_bytes() == before
    assert runs.load(str(earlier)).config["model"]["filters"] == earlier_filters


def test_more_epochs_extend_the_training_of_the_best(searched, records, monkeypatch):
    trials = pretend_to_train(monkeypatch, [], best=False)

    search(quick_search(records, searched, max_trials=1, epochs=2))

    assert epochs_of(searched) == [1, 2]
    assert trials == []


@pytest.mark.parametrize(
    ("settings", "words"), [({"max_trials": 1}, "has 2 trials already"), ({"epochs": 1}, "for 2 epochs")]
)
def test_fewer_than_there_are_is_refused_and_nothing_changes(searched, records, monkeypatch, settings, words):
    pretend_to_train(monkeypatch, [0.1])
    search(quick_search(records, searched, max_trials=2, epochs=2))
    (searched / "checkpoint/latest.json").write_text('{"history": [{"epoch": 1}, {"epoch": 2}]}')
    before = {path: path.read_bytes() for path in searched.rglob("*") if path.is_file()}

    with pytest.raises(UserError, match=words):
        search(quick_search(records, searched, **{"max_trials": 2, "epochs": 2} | settings))

    assert {path: path.read_bytes() for path in searched.rglob("*") if path.is_file()} == before


def test_a_search_goes_on_where_its_records_have_moved_and_not_on_others(
    searched, records, write_records, tmp_path, monkeypatch
):
    pretend_to_train(monkeypatch, [0.9])
    moved = shutil.copytree(records, tmp_path / "moved")
    others = write_records({"train": 64, "val": 16})

    assert len(search(quick_search(f"{moved}/", searched, max_trials=2))) == 2
    with pytest.raises(UserError, match="other records than those"):
        search(quick_search(others, searched, max_trials=3))


def test_a_search_that_an_earlier_version_began_goes_on_by_the_path_of_its_records(
    searched, records, write_records, monkeypatch
):
    pretend_to_train(monkeypatch, [0.9, 0.9])
    for path in searched.iterdir():  # before its training, it stored nothing but search/
        if path.is_file():
            path.unlink()
    shutil.rmtree(searched / "checkpoint")

    with pytest.raises(UserError, match="other records than those"):
        search(quick_search(write_records({"train": 64, "val": 16}), searched, max_trials=2))
    assert len(search(quick_search(f"{records}/", searched, max_trials=2))) == 2

    assert manifest.load(str(searched)) == manifest.load(records)


@pytest.mark.parametrize("name", ["oracle.json", "trial_0/trial.json"])
@pytest.mark.parametrize("content", ["", "[]", '{"trial_id": 1}'])
def test_a_damaged_file_of_the_search_is_named(searched, records, name, content):
    (searched / "search/random" / name).write_text(content)

    with pytest.raises(UserError, match=rf"{name}' is damaged .*--overwrite"):
        search(quick_search(records, searched, max_trials=2))


@pytest.mark.parametrize("write", [1, 4, 7])
def test_a_search_killed_at_any_of_its_writes_is_continued(records, tmp_path, monkeypatch, write):
    pretend_to_train(monkeypatch, [0.5] * 9)
    config = quick_search(records, tmp_path / "[run]")
    with monkeypatch.context() as context:
        original, written = tuners.storage.write, []

        def write_or_die(path, content):
            if len(written) == write:
                raise Killed
            written.append(path)
            original(path, content)

        context.setattr(tuners.storage, "write", write_or_die)
        with pytest.raises(Killed):
            search(config)

    assert len(search(config)) == 2
