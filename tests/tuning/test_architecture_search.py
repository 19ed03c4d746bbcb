import csv
import json
import shutil
from pathlib import Path

import pytest

from pipeline import runs
from pipeline.training import fit, recipe
from tests.small_run import Killed
from tests.tuning.small_search import pretend_to_train, quick_search, search_small_architectures
from tfrecords_builder.errors import UserError
from tuning import space
from tuning.architecture_search import search
from tuning.settings import SearchConfig
from tuning.space import SearchSpace


@pytest.fixture(scope="module", autouse=True)
def small_space():
    with pytest.MonkeyPatch.context() as monkeypatch:
        search_small_architectures(monkeypatch)
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

    rows = search(quick_search(records, run, tuner=tuner))

    losses = [row["val_loss"] for row in rows]
    assert losses == sorted(losses)
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    with (run / "search" / "leaderboard.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(rows) >= 1
    loaded = runs.load(str(run))
    best = rows[0]["first_filters"]
    assert loaded.config["model"]["filters"] == [best, best]
    assert loaded.model.get_layer("conv0_0").kernel.shape == (3, 3, 1, best)


@pytest.fixture
def interrupted(records, tmp_path, monkeypatch) -> SearchConfig:
    """The settings of a search of two trials that was stopped after the first. Its precision was measured
    to be mixed_bfloat16; a second measurement would say float32.
    """
    config = quick_search(records, tmp_path / "run", max_trials=2, precision="auto")
    answers = iter(["mixed_bfloat16", "float32"])
    monkeypatch.setattr(recipe, "fastest", lambda *_: next(answers))
    with monkeypatch.context() as context:
        trained = []
        fit_trial = SearchSpace.fit

        def fit_once(self, *args, **kwargs):
            if trained:
                raise Killed
            trained.append(args)
            return fit_trial(self, *args, **kwargs)

        context.setattr(SearchSpace, "fit", fit_once)
        with pytest.raises(Killed):
            search(config)
    return config


@pytest.fixture
def built(monkeypatch) -> list[str]:
    """The precisions of the models that are built, of trials and of the training of the best."""
    in_precision = []
    for module in (space, fit):
        build = module.build_classifier

        def recording(config, image_size, precision, build=build):
            in_precision.append(precision)
            return build(config, image_size, precision)

        monkeypatch.setattr(module, "build_classifier", recording)
    return in_precision


def test_a_search_that_continues_keeps_its_trials_and_its_precision(interrupted, built, monkeypatch):
    trained = []
    fit_trial = SearchSpace.fit
    monkeypatch.setattr(SearchSpace, "fit", lambda *a, **k: (trained.append(0), fit_trial(*a, **k))[1])

    rows = search(interrupted)

    assert len(rows) == 2
    assert len(trained) == 1
    assert set(built) == {"mixed_bfloat16"}
    assert runs.stored_environment(interrupted.run)["precision"] == "mixed_bfloat16"
    assert runs.load(interrupted.run).config["precision"] == "auto"


def test_a_search_begun_before_its_precision_was_stored_measures_it_once(
    searched, records, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    shutil.copytree(searched, run)
    for name in ("search/settings.json", "config.json"):
        settings = json.loads((run / name).read_text()) | {"precision": "auto"}
        settings.pop("resolved_precision", None)
        (run / name).write_text(json.dumps(settings))
    answers = iter(["mixed_bfloat16", "float32"])
    monkeypatch.setattr(recipe, "fastest", lambda *_: next(answers))

    for _ in range(2):
        assert len(search(quick_search(records, run, max_trials=1, precision="auto"))) == 1

    settings = json.loads((run / "search" / "settings.json").read_text())
    assert (settings["precision"], settings["resolved_precision"]) == ("auto", "mixed_bfloat16")


def test_nothing_is_written_if_the_precision_cannot_be_measured(records, tmp_path, monkeypatch):
    def killed(*_):
        raise Killed

    monkeypatch.setattr(recipe, "fastest", killed)

    with pytest.raises(Killed):
        search(quick_search(records, tmp_path / "run", precision="auto"))

    assert not (tmp_path / "run").exists()


def test_a_failing_trial_does_not_end_the_search(records, tmp_path, monkeypatch):
    pretend_to_train(monkeypatch, [0.5])
    fit_trial = SearchSpace.fit
    calls = []

    def failing_first(self, hp, model, *args, **kwargs):
        calls.append(hp)
        if len(calls) == 1:
            raise MemoryError("out of memory")
        return fit_trial(self, hp, model, *args, **kwargs)

    monkeypatch.setattr(SearchSpace, "fit", failing_first)

    rows = search(quick_search(records, tmp_path / "run", max_trials=2))

    assert len(rows) == 1


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


def test_the_run_folder_may_be_a_url(records, tmp_path):
    # Not ram://: there a file that is opened again is appended to, and KerasTuner writes its files again.
    config = quick_search(records, f"file://{tmp_path}/run", max_trials=1)

    rows = search(config)

    assert len(rows) == 1
    assert search(config) == rows
    assert runs.is_finished(str(tmp_path / "run"))
