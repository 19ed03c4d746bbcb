"""What becomes of a trial: its result, or the reason why it has none. The search goes on in every case."""

import csv
import dataclasses
import json
import os
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline import runs
from pipeline.training import fit, history, recipe
from pipeline.training.settings import ModelConfig
from tests.tuning.small_search import pretend_to_train, quick_search, search_small_networks
from tfrecords_builder.errors import UserError
from tuning import architecture_search, limits, trial, trials, tuners
from tuning.architecture_search import search
from tuning.space import Choice


@pytest.fixture(autouse=True)
def small_space(monkeypatch):
    search_small_networks(monkeypatch)
    monkeypatch.setattr(architecture_search.folds, "train", lambda *_: None)


def reasons(run) -> dict[str, str]:
    """The reason by the trial, from the table of the failed ones."""
    with (run / "search/failed_trials.csv").open() as file:
        return {row["trial"]: row["reason"] for row in csv.DictReader(file)}


def test_a_loss_that_becomes_nan(records, tmp_path, monkeypatch):
    compiled = []

    def compile_with_nan(model, *args):
        recipe.compile_model(model, *args)
        compiled.append(model)
        if len(compiled) == 1:
            model.compile(model.optimizer, lambda _, probability: probability * float("nan"))

    monkeypatch.setattr(fit, "compile_model", compile_with_nan)

    rows = search(quick_search(records, tmp_path / "run", trial_epochs=1))

    assert [row["trial"] for row in rows] == ["1"]
    assert reasons(tmp_path / "run") == {"0": "the loss became NaN in epoch 1"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError("out of memory"), "MemoryError: out of memory"),
        (tf.errors.ResourceExhaustedError(None, None, "{{node conv}} OOM"), "{{node conv}} OOM"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    ],
)
def test_an_exception(records, tmp_path, monkeypatch, error, reason):
    pretend_to_train(monkeypatch, [0.5])
    pretended, calls = trials.trial.run, []

    def fail_first(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise error
        return pretended(*args, **kwargs)

    monkeypatch.setattr(trials.trial, "run", fail_first)

    rows = search(quick_search(records, tmp_path / "run"))

    assert [row["trial"] for row in rows] == ["1"]
    assert reason in reasons(tmp_path / "run")["0"]


def test_a_network_too_deep_for_the_images_is_refused_and_does_not_count(records, tmp_path, monkeypatch):
    monkeypatch.setitem(trials.space.PRESETS, "default", {"model.blocks": Choice((2, 4, 9))})
    monkeypatch.setattr(tuners, "MOST_REFUSED_TRIALS", 1)
    run_trial = trials.trial.run
    pretend_to_train(monkeypatch, [0.5, 0.4])
    pretended = trials.trial.run

    def pretend_if_possible(config, *args, **kwargs):
        run = run_trial if len(config.model.filters) == 9 else pretended
        return run(config, *args, **kwargs)

    monkeypatch.setattr(trials.trial, "run", pretend_if_possible)
    fixed = ("model.first_filters=2", "model.growth=1")

    rows = search(quick_search(records, tmp_path / "run", max_trials=2, fix=fixed, seed=2))

    assert sorted(row["model.blocks"] for row in rows) == [2, 4]
    assert "images of at least 256 pixels" in "".join(reasons(tmp_path / "run").values())


def test_too_many_weights_are_refused_before_anything_is_trained(records, tmp_path, monkeypatch):
    pretend_to_train(monkeypatch, [0.5, 0.4])
    pretended = trials.trial.run

    def check_size_and_pretend(config, conditions, **kwargs):
        limits.check_size(config, 32, conditions.max_params)
        return pretended(config, conditions, **kwargs)

    monkeypatch.setattr(trials.trial, "run", check_size_and_pretend)
    config = quick_search(records, tmp_path / "run", max_trials=2, trial_epochs=1, max_params=1000)

    rows = search(config)

    assert {row["model.first_filters"] for row in rows} < {2, 3, 4}
    assert reasons(tmp_path / "run")["0"] == "refused: 3,746 weights, more than --max-params 1,000"
    assert not (tmp_path / "run/search/trials/0/model.keras").exists()
    assert search(config) == rows  # the same command goes on, though three trials were begun


@pytest.mark.slow
def test_a_network_that_is_too_slow_is_refused(records, tmp_path, monkeypatch):
    latencies = iter([9.0, 1.0, 1.0])
    monkeypatch.setattr(limits, "measure_latency_ms", lambda _: next(latencies))

    rows = search(quick_search(records, tmp_path / "run", trial_epochs=1, max_latency_ms=5))

    assert [row["trial"] for row in rows] in (["1", "2"], ["2", "1"])
    assert reasons(tmp_path / "run")["0"] == "refused: 9.00 ms an image, more than --max-latency-ms 5"


def test_the_latency_is_measured_on_one_core():
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    assert 0 < limits.measure_latency_ms(model) < 1000


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinities")
def test_threads_that_begin_while_a_latency_is_measured_get_all_cores_back():
    before, ended = os.sched_getaffinity(0), threading.Event()
    with limits._one_core():
        thread = threading.Thread(target=ended.wait)
        thread.start()
        assert len(os.sched_getaffinity(thread.native_id)) == 1

    assert os.sched_getaffinity(thread.native_id) == os.sched_getaffinity(0) == before
    ended.set()
    thread.join()


def test_a_trial_whose_process_ends_again_and_again_is_a_failure(records, tmp_path, monkeypatch):
    class EndOfProcess(BaseException):
        pass

    def end(*_args, **_kwargs):
        raise EndOfProcess

    config = quick_search(records, tmp_path / "run", max_trials=1, trial_epochs=1)
    with monkeypatch.context() as context:
        context.setattr(trial.fit, "train_model", end)
        for _ in range(trial.MOST_ATTEMPTS):
            with pytest.raises(EndOfProcess):
                search(config)
    with pytest.raises(UserError, match="no trial of the search succeeded"):
        search(config)
    assert "ended 3 times" in reasons(tmp_path / "run")["0"]


@pytest.mark.slow
def test_the_time_ends_the_search_within_an_epoch_and_more_time_continues_it(records, tmp_path, monkeypatch):
    config = quick_search(records, tmp_path / "run", max_trials=2, trial_epochs=2, max_time=60.0)
    epochs = []

    def spend_all_after_three(self, *_):
        epochs.append(1)
        if len(epochs) == 3:
            raise limits.OutOfTimeError

    with monkeypatch.context() as context:
        context.setattr(trial._CheckClock, "on_epoch_end", spend_all_after_three)
        rows = search(config)
    assert [row["trial"] for row in rows] == ["0"]

    assert len(search(config)) == 2


def test_the_clock_counts_on(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: now[0])
    clock = limits.Clock(str(tmp_path), 1.0)
    now[0] += 50
    clock.check()
    now[0] += 1000  # between two sessions
    clock = limits.Clock(str(tmp_path), 1.0)
    assert clock.seconds_left == 10
    now[0] += 10
    with pytest.raises(limits.OutOfTimeError):
        clock.check()


def test_a_trial_goes_on_with_the_weights_of_the_one_that_it_continues(records, tmp_path):
    clock = limits.Clock(str(tmp_path), None)
    conditions = trial.Conditions("float32", "indexed", clock)
    first = quick_search(records, tmp_path / "first", fix=()).training()
    first = dataclasses.replace(first, model=ModelConfig(filters=(2, 4), attention="none"))
    second = dataclasses.replace(first, run=str(tmp_path / "second"), epochs=2)

    trial.run(first, conditions, continued=None, others=[])
    result = trial.run(second, conditions, continued=first.run, others=[])

    before, after = history.read(first.run), history.read(second.run)
    assert after[0] == before[0]
    assert [row["epoch"] for row in after] == [1, 2]
    assert result.epochs == 2
    assert runs.load(second.run).operating_point.threshold > 0  # a trial is a finished run


def test_finish_tries_nothing_more(records, tmp_path, monkeypatch):
    tried = pretend_to_train(monkeypatch, [0.5, 0.6])
    search(quick_search(records, tmp_path / "run", max_trials=1))

    rows = search(quick_search(records, tmp_path / "run", max_trials=5, finish=True))

    assert len(rows) == len(tried) == 1


def test_ctrl_c_says_where_the_best_so_far_is(records, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    pretend_to_train(monkeypatch, [0.5])
    pretended, calls = trials.trial.run, []

    def interrupt_second(*args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return pretended(*args, **kwargs)

    monkeypatch.setattr(trials.trial, "run", interrupt_second)

    with pytest.raises(KeyboardInterrupt):
        search(quick_search(records, tmp_path / "run"))

    assert "the best so far is trial 0 with score 0.5" in caplog.text
    assert (tmp_path / "run/search/leaderboard.csv").exists()


def test_too_many_failed_trials_in_a_row_end_the_search(records, tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise MemoryError("out of memory")

    monkeypatch.setattr(trials.trial, "run", fail)
    monkeypatch.setattr(tuners, "MAX_CONSECUTIVE_FAILED_TRIALS", 2)

    with pytest.raises(UserError, match="after 2 failed trials in a row"):
        search(quick_search(records, tmp_path / "run", max_trials=4))


def test_a_full_disk_ends_the_search_and_not_only_the_trial(records, tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(trials.trial, "run", fail)
        with pytest.raises(OSError, match="No space left"):
            search(quick_search(records, tmp_path / "run"))
    tried = pretend_to_train(monkeypatch, [0.5, 0.4])

    assert len(search(quick_search(records, tmp_path / "run"))) == 2
    assert len(tried) == 2


def test_a_failure_has_its_settings(records, tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise MemoryError("out of memory")

    config = quick_search(records, tmp_path / "run", max_trials=1)
    monkeypatch.setattr(trials.trial, "run", fail)
    with pytest.raises(UserError, match="no trial"):
        search(config)
    state = json.loads((tmp_path / "run/search/random/trial_0/trial.json").read_text())
    assert state["status"] == "FAILED"
    assert np.array_equal(list(state["hyperparameters"]["values"].values()), [16])
