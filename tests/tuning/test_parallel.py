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


@pytest.mark.slow
def test_two_workers_run_the_same_trials_as_one_even_if_one_is_killed(records, tmp_path):
    alone = start(records, tmp_path / "alone", "--workers", "1")
    _, errors = alone.communicate(timeout=SECONDS)
    assert alone.returncode == 0, errors

    chief = start(records, tmp_path / "both", "--workers", "2")
    wait_for(tmp_path / "both/search/trials/1/config.json")
    os.kill(children(chief.pid)[0], signal.SIGKILL)
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
    workers = children(chief.pid)
    chief.kill()
    chief.communicate()
    end = time.monotonic() + SECONDS
    while any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers):
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
    shard = next(records.glob("train-*"))
    content = bytearray(shard.read_bytes())
    content[12] ^= 255  # within the first record
    shard.write_bytes(content)

    done = start(records, tmp_path / "run")
    _, errors = done.communicate(timeout=SECONDS)

    assert done.returncode == 2
    assert sum("is damaged" in line for line in errors.splitlines()) == 1
