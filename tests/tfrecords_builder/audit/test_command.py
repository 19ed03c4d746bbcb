import shutil
import subprocess
import sys

import pytest

from tests.tfrecords_builder.audit.sources import first
from tfrecords_builder.audit.__main__ import AuditConfig


@pytest.mark.parametrize(
    "wrong", [{"near_distance": 65}, {"near_distance": -1}, {"workers": 0}, {"shown": -1}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        AuditConfig("source", **wrong)


def run_command(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tfrecords_builder.audit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_findings_are_no_error(folder, tmp_path):
    shutil.copy(first(folder, "train/NORMAL"), folder / "test/NORMAL/copy.jpeg")

    done = run_command(folder, "--output", tmp_path / "audit")

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    cells = [line.replace("│", " ").split() for line in lines]
    assert ["byte-identical", "images", "1", "2", "1", "0", "1"] in cells
    assert ["train", "PNEUMONIA", "12"] in [line[:3] for line in cells]
    assert lines[-1] == str(tmp_path / "audit/audit.html")


def test_a_missing_source_is_a_users_mistake(tmp_path):
    done = run_command(tmp_path / "missing", "--output", tmp_path / "audit")

    assert done.returncode == 2
    assert (done.stdout, len(done.stderr.splitlines())) == ("", 1)
    assert "no folder" in done.stderr
    assert not (tmp_path / "audit").exists()
