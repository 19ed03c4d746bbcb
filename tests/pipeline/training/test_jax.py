"""Keras on JAX trains the run folder that TensorFlow then evaluates and exports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.evaluation.evaluate import evaluate
from serving.export import export

TRAIN = """
import sys
from pipeline.training.fit import train
from tests.small_run import quick_training

train(quick_training(*sys.argv[1:], checkpoint_seconds=0.0))
"""


@pytest.mark.slow
def test_a_run_trained_on_jax_is_evaluated_and_exported_by_tensorflow(records, tmp_path):
    pytest.importorskip("jax")
    run = str(tmp_path / "run")
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, records, run],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"keras_backend": "jax"' in (Path(run) / "environment.json").read_text()

    measured = evaluate(run, records).metrics

    assert measured["over_thresholds"]["auc"]["value"] > 0.95
    assert export(run, str(tmp_path / "models")).endswith("/pneumonia/1")
