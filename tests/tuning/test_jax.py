"""A search on JAX."""

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_search_runs_on_jax(records, tmp_path):
    pytest.importorskip("jax")
    run = tmp_path / "run"
    options = "--tuner random --space wide --max-trials 3 --trial-epochs 1 --epochs 1 --precision float32"
    fixed = ("model.first_filters=8", "model.blocks=3")

    done = subprocess.run(
        [sys.executable, "-m", "tuning.search", records, str(run), *options.split(), "--fix", *fixed],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": "jax"},
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads((run / "environment.json").read_text())["keras_backend"] == "jax"
    assert len((run / "search/leaderboard.csv").read_text().splitlines()) == 4
