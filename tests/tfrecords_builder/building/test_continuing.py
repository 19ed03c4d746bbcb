"""Builds that are killed, and continued by the same command."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf

from tfrecords_builder import Preprocessing, storage
from tfrecords_builder.building.build import build
from tfrecords_builder.building.engines import local
from tfrecords_builder.building.settings import BuildConfig
from tfrecords_builder.errors import UserError
from tfrecords_builder.record_checks import find_faults
from tfrecords_builder.synthesize import SynthesizeConfig, synthesize


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def settings(source, records, **changes) -> BuildConfig:
    defaults = {"preprocessing": Preprocessing(32, 0.1), "val_fraction": 0.2, "shards": 5}
    return BuildConfig(str(source), str(records), **defaults | changes)


class Killed(BaseException):
    pass


def killed_after(monkeypatch, shards: int) -> None:
    """Lets the next builds fail after a number of shards, without any clean-up, as SIGKILL would."""
    written = local.build_shard
    count = 0

    def write_or_die(*args):
        nonlocal count
        if count == shards:
            raise Killed
        count += 1
        return written(*args)

    monkeypatch.setattr(local, "build_shard", write_or_die)


@pytest.mark.parametrize("shards", [0, 1, 7, 14])
def test_a_continued_build_gives_the_same_files_as_an_uninterrupted_one(
    source, tmp_path, monkeypatch, shards
):
    build(settings(source, tmp_path / "whole"))
    with monkeypatch.context() as context:
        killed_after(context, shards)
        with pytest.raises(Killed):
            build(settings(source, tmp_path / "broken"))
    assert not list((tmp_path / "broken").glob("*.tfrecord"))
    assert not (tmp_path / "broken" / "dataset.json").exists()
    built = []
    with monkeypatch.context() as context:
        written = local.build_shard
        context.setattr(local, "build_shard", lambda *a: (built.append(a), written(*a))[1])
        build(settings(source, tmp_path / "broken"))

    assert len(built) == 15 - shards
    assert files_of(tmp_path / "broken") == files_of(tmp_path / "whole")


@pytest.mark.parametrize("records", ["local", "url"])
def test_temporary_files_of_a_killed_build_are_removed(source, tmp_path, monkeypatch, records):
    folder = str(tmp_path / "records") if records == "local" else f"ram://{tmp_path}/records"
    with monkeypatch.context() as context:
        killed_after(context, 3)
        with pytest.raises(Killed):
            build(settings(source, folder))
    left = [
        f"{folder}/unfinished/.{name}.99999.tmp"
        for name in ("val-00000-of-00005.tfrecord", "begun-with.json")
    ]
    for path in left:
        storage.write(path, "half")

    with monkeypatch.context() as context:
        killed_after(context, 1)
        with pytest.raises(Killed):
            build(settings(source, folder))
    assert not any(storage.exists(path) for path in left)
    build(settings(source, folder))

    assert not storage.exists(f"{folder}/unfinished")
    assert find_faults(folder) == []


def test_a_build_killed_while_it_wrote_its_settings_leaves_nothing(source, tmp_path):
    storage.write(f"{tmp_path}/records/unfinished/.begun-with.json.99999.tmp", "half")

    build(settings(source, tmp_path / "records"))

    assert not (tmp_path / "records" / "unfinished").exists()


@pytest.mark.parametrize("removed", range(7))
def test_a_build_killed_after_it_was_published_leaves_nothing(source, tmp_path, monkeypatch, removed):
    folder = tmp_path / "records"
    remove = storage.remove
    calls = iter(range(100))

    def remove_or_die(path):
        if next(calls) >= removed:
            raise Killed
        remove(path)

    with monkeypatch.context() as context:
        context.setattr(storage, "remove", remove_or_die)
        with pytest.raises(Killed):
            build(settings(source, folder))
    assert (folder / "dataset.json").exists()
    assert (folder / "unfinished").exists()

    build(settings(source, folder))

    build(settings(source, tmp_path / "whole"))
    assert files_of(folder) == files_of(tmp_path / "whole")


def test_a_build_killed_as_the_last_thing_leaves_nothing(source, tmp_path):
    build(settings(source, tmp_path / "records"))
    (tmp_path / "records" / "unfinished").mkdir()

    build(settings(source, tmp_path / "records"))

    assert not (tmp_path / "records" / "unfinished").exists()


def test_finished_shards_of_other_settings_stay(source, tmp_path, monkeypatch):
    build(settings(source, tmp_path / "records"))
    with monkeypatch.context() as context:
        killed_after(context, 3)
        with pytest.raises(Killed):
            build(settings(source, tmp_path / "records", shards=7, overwrite=True))
    left = files_of(tmp_path / "records" / "unfinished")

    build(settings(source, tmp_path / "records"))

    assert files_of(tmp_path / "records" / "unfinished") == left


def test_a_build_that_was_begun_with_other_settings_is_not_continued(source, tmp_path, monkeypatch):
    with monkeypatch.context() as context:
        killed_after(context, 3)
        with pytest.raises(Killed):
            build(settings(source, tmp_path / "records"))

    with pytest.raises(UserError, match=r"begun with border=0\.1, not 0\.2"):
        build(settings(source, tmp_path / "records", preprocessing=Preprocessing(32, 0.2)))
    other = shutil.copytree(source, tmp_path / "other")
    next((other / "train/NORMAL").iterdir()).unlink()
    with pytest.raises(UserError, match="source_files"):
        build(settings(other, tmp_path / "records"))
    build(settings(other, tmp_path / "records", overwrite=True))

    assert find_faults(str(tmp_path / "records")) == []


def test_records_that_are_replaced_stay_until_the_new_ones_are_complete(source, tmp_path, monkeypatch):
    build(settings(source, tmp_path / "records"))
    before = files_of(tmp_path / "records")
    with monkeypatch.context() as context:
        killed_after(context, 3)
        with pytest.raises(Killed):
            build(settings(source, tmp_path / "records", seed=1, overwrite=True))

    after = {
        name: data for name, data in before.items() if (tmp_path / "records" / name).read_bytes() == data
    }
    assert after == before
    assert find_faults(str(tmp_path / "records")) == []


def test_a_build_that_met_a_full_disk_is_continued(source, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(local, "build_shard", full)
        with pytest.raises(OSError, match="No space left on device"):
            build(settings(source, tmp_path / "records"))
    build(settings(source, tmp_path / "records"))

    assert find_faults(str(tmp_path / "records")) == []


def killed_and_continued(source: Path, folder: Path, draw: random.Random, longest: float) -> dict[str, bytes]:
    """Runs the command, kills it with SIGKILL at a random moment of the building, and continues the build.

    It is continued in this process: another start of the command would take longer than everything else.
    """
    command = [
        sys.executable, "-m", "tfrecords_builder", source, folder, "--image-size", "32", "--border", "0.1",
        "--val-fraction", "0.2", "--shards", "5", "--workers", "1",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (folder / "unfinished").exists():
        time.sleep(0.001)
    time.sleep(draw.uniform(0, longest))
    os.kill(process.pid, signal.SIGKILL)  # a process that has ended is still there to be killed until `wait`
    process.wait()
    for published in folder.glob("*.tfrecord"):
        assert list(tf.data.TFRecordDataset(str(published)))
    build(settings(source, folder))
    return files_of(folder)


def test_a_build_killed_with_sigkill_is_continued(source, tmp_path):
    build(settings(source, tmp_path / "whole"))

    continued = killed_and_continued(source, tmp_path / "killed", random.Random(0), 0.1)

    assert continued == files_of(tmp_path / "whole")


@pytest.mark.slow
def test_twenty_builds_killed_with_sigkill_are_continued(tmp_path):
    source = tmp_path / "source"
    synthesize(SynthesizeConfig(str(source), train_images=300, val_images=10, test_images=40, height=300))
    began = time.monotonic()
    build(settings(source, tmp_path / "whole", workers=1))
    duration = time.monotonic() - began
    draw = random.Random(0)

    for number in range(20):
        continued = killed_and_continued(source, tmp_path / f"killed{number}", draw, duration)
        assert continued == files_of(tmp_path / "whole")
