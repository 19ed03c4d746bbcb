"""Trials in several processes. Each test starts real processes, which takes a minute."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tfrecords_builder.errors import UserError
from tuning import parallel
from tuning.leaderboard import RESULTS_SHOWN

OPTIONS = (
    *("--tuner", "random", "--space", "small", "--max-trials", "4", "--trial-epochs", "1", "--epochs", "1"),
    *("--precision", "float32", "--no-median-stopping", "--batch-size", "16"),
    *("--fix", "model.blocks=3", "model.first_filters=8"),
)
SECONDS = 600


def test_a_chief_says_which_workers_it_waits_for(caplog):
    oracle = SimpleNamespace(ongoing_trials={"worker1": SimpleNamespace(trial_id="0007")})
    reminder, long = parallel._Reminder(oracle), parallel.SECONDS_BETWEEN_REMINDERS

    reminder.look(0)
    reminder.look(long - 1)
    assert not caplog.messages
    reminder.look(long)
    (message,) = caplog.messages
    assert "trial 0007 of worker1" in message
    assert "--finish" in message

    oracle.ongoing_trials = {"worker1": SimpleNamespace(trial_id="0008")}
    reminder.look(long + 1)
    reminder.look(2 * long)
    oracle.ongoing_trials = {}
    reminder.look(4 * long)
    reminder.look(6 * long)
    assert len(caplog.messages) == 1


ON_TWO_DEVICES = """
import sys
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tuning.architecture_search import search
from tuning.settings import SearchConfig

records, run = sys.argv[1:]
search(SearchConfig(records, run, tuner="random", space="small", max_trials=1, trial_epochs=1, epochs=1,
                    batch_size=16, precision="float32", workers=0))
"""


@pytest.mark.slow
def test_without_a_worker_each_trial_uses_all_devices(records, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-c", ON_TWO_DEVICES, records, str(run)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    (environment,) = run.glob("search/trials/*/environment.json")
    assert len(json.loads(environment.read_text())["devices"]) == 2


def start(records, run, *options, **environment) -> subprocess.Popen:
    command = [sys.executable, "-m", "tuning.search", str(records), str(run), *OPTIONS, *options]
    return subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def trials_of(run: Path) -> dict[str, dict[str, str]]:
    """The settings of each trial."""
    with (run / "search/leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        row["trial"]: {name: row[name] for name in row if name not in (*RESULTS_SHOWN, "rank")}
        for row in rows
    }


def scores_of(run: Path) -> list[float]:
    """The score of each trial, by its identifier."""
    with (run / "search/leaderboard.csv").open() as file:
        return [float(row["score"]) for row in sorted(csv.DictReader(file), key=lambda row: row["trial"])]


def wait_for(path: Path) -> None:
    end = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < end, f"no {path}"
        time.sleep(0.2)


def children(process: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def workers_of(chief: int) -> list[int]:
    return children(chief)


def forks_of(chief: int) -> list[int]:
    """The processes of the trials under way."""
    return [fork for worker in children(chief) for fork in children(worker)]


@pytest.mark.slow
@pytest.mark.parametrize("victims", [workers_of, forks_of])
def test_two_workers_run_the_same_trials_as_one_even_if_one_is_killed(records, tmp_path, victims):
    alone = start(records, tmp_path / "alone", "--workers", "1")
    _, errors = alone.communicate(timeout=SECONDS)
    assert alone.returncode == 0, errors

    chief = start(records, tmp_path / "both", "--workers", "2")
    wait_for(tmp_path / "both/search/trials/1/config.json")
    os.kill(victims(chief.pid)[0], signal.SIGKILL)
    _, errors = chief.communicate(timeout=SECONDS)

    assert chief.returncode == 0, errors
    assert "is started again" in errors
    assert trials_of(tmp_path / "both") == trials_of(tmp_path / "alone")
    # One thread and two add numbers in another order.
    assert scores_of(tmp_path / "both") == pytest.approx(scores_of(tmp_path / "alone"), abs=1e-2)


@pytest.mark.slow
def test_a_chief_that_is_killed_continues_with_its_workers_trials(records, tmp_path):
    run = tmp_path / "run"
    chief = start(records, run, "--workers", "2")
    wait_for(run / "search/trials/0/trial.json")
    processes = [*workers_of(chief.pid), *forks_of(chief.pid)]
    assert len(processes) > 2
    chief.kill()
    chief.communicate()
    end = time.monotonic() + SECONDS
    while any(Path(f"/proc/{process}/cmdline").exists() for process in processes):
        assert time.monotonic() < end, "a worker outlives its chief"
        time.sleep(0.2)

    again = start(records, run, "--workers", "2")
    _, errors = again.communicate(timeout=SECONDS)

    assert again.returncode == 0, errors
    assert set(trials_of(run)) == {"0", "1", "2", "3"}


@pytest.mark.slow
def test_a_chief_and_a_worker_that_are_started_by_hand(records, tmp_path):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    oracle = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": port}
    chief = start(records, tmp_path / "run", KERASTUNER_TUNER_ID="chief", **oracle)
    wait_for(tmp_path / "run/search/settings.json")
    worker = start(records, tmp_path / "run", KERASTUNER_TUNER_ID="worker0", **oracle)

    _, errors = worker.communicate(timeout=SECONDS)
    assert worker.returncode == 0, errors
    _, errors = chief.communicate(timeout=SECONDS)

    assert chief.returncode == 0, errors
    assert len(trials_of(tmp_path / "run")) == 4
    state = json.loads((tmp_path / "run/search/random/oracle.json").read_text())
    assert state["ongoing_trials"] == {}


@pytest.mark.parametrize(
    ("environment", "role"),
    [
        ({}, "alone"),
        ({"KERASTUNER_TUNER_ID": "chief"}, "chief"),
        ({"KERASTUNER_TUNER_ID": "worker0"}, "worker"),
    ],
)
def test_the_environment_says_what_a_process_is(monkeypatch, environment, role):
    if environment:
        monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
        monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "8000")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert parallel.role() == role


def test_an_incomplete_environment_is_named(monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    with pytest.raises(UserError, match="KERASTUNER_ORACLE_PORT"):
        parallel.role()


@pytest.mark.slow
def test_what_ends_the_whole_search_in_a_worker_is_said_once(write_records, tmp_path):
    records = Path(write_records({"train": 64, "val": 32}))
    shard = next(records.glob("train-*.tfrecord"))
    content = bytearray(shard.read_bytes())
    content[12] ^= 255  # within the first record
    shard.write_bytes(content)

    done = start(records, tmp_path / "run")
    _, errors = done.communicate(timeout=SECONDS)

    assert done.returncode == 2
    assert sum("is damaged" in line for line in errors.splitlines()) == 1
