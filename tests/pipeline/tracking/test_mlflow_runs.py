import json
import shutil
import socket
import sys
from pathlib import Path

import pytest

from pipeline import evaluate, runs, train
from pipeline.evaluate import EvaluateConfig
from pipeline.tracking import mlflow_runs
from pipeline.tracking.mlflow_runs import Tracker, flatten, tracker
from tests.small_run import quick_training
from tfrecords_builder.errors import UserError


@pytest.fixture
def store(tmp_path, monkeypatch) -> str:
    """A real store of MLflow, in files."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.delenv(mlflow_runs.URI, raising=False)
    return (tmp_path / "mlruns").as_uri()


@pytest.fixture
def run(finished_run, tmp_path) -> str:
    return str(shutil.copytree(finished_run, tmp_path / "run"))


def logged(store: str) -> list:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name(mlflow_runs.DEFAULT_EXPERIMENT)
    return client.search_runs([experiment.experiment_id])


def files(store: str, identifier: str, folder: str | None = None) -> set[str]:
    from mlflow import MlflowClient

    return {file.path for file in MlflowClient(tracking_uri=store).list_artifacts(identifier, folder)}


def test_a_training_is_logged_with_settings_epochs_and_files(run, records, store):
    from mlflow import MlflowClient

    train.main(quick_training(records, run, mlflow=store))  # it is finished; it is logged nevertheless

    (found,) = logged(store)
    stored = runs.load(run)
    assert found.info.status == "FINISHED"
    assert found.data.params["learning_rate"] == str(stored.config["learning_rate"])
    assert found.data.params["model.block"] == "plain"
    assert found.data.metrics["operating_point/threshold"] == pytest.approx(stored.operating_point.threshold)
    assert found.data.metrics["calibration/slope"] == pytest.approx(stored.calibration.slope)
    history = MlflowClient(tracking_uri=store).get_metric_history(found.info.run_id, "val_loss")
    assert [point.step for point in history] == list(range(1, stored.config["epochs"] + 1))
    assert files(store, found.info.run_id) >= {"model.keras", "config.json", "operating_point.json"}


def test_nothing_is_logged_twice(run, store):
    first = Tracker(store).log_training(run)

    assert Tracker(store).log_training(run) == first
    assert len(logged(store)) == 1


@pytest.mark.slow
def test_an_evaluation_is_added_to_the_run_of_its_training(run, records, store, monkeypatch):
    monkeypatch.setenv(mlflow_runs.URI, store)

    evaluate.main(EvaluateConfig(run, records, name="own"))

    (found,) = logged(store)
    metrics = json.loads(Path(run, "evaluation/own-test/metrics.json").read_text())
    auc = metrics["over_thresholds"]["auc"]["value"]
    assert found.data.metrics["own-test/over_thresholds.auc"] == pytest.approx(auc)
    pages = files(store, found.info.run_id, "evaluation/own-test")
    assert "evaluation/own-test/report.html" in pages
    assert "evaluation/own-test/predictions.csv" not in pages  # it names patients


def test_the_trials_of_a_search_are_below_its_run(run, tmp_path, store):
    trials = [str(shutil.copytree(run, tmp_path / f"trial{number}")) for number in range(2)]

    Tracker(store).log_search(run, {trial: {"score": 0.5} for trial in trials})

    found = {one.info.run_name: one for one in logged(store)}
    assert set(found) == {"run", "trial0", "trial1"}
    for trial in ("trial0", "trial1"):
        assert found[trial].data.tags["mlflow.parentRunId"] == found["run"].info.run_id
        assert found[trial].data.metrics["trial/score"] == 0.5


def test_without_a_server_nothing_is_logged(monkeypatch):
    monkeypatch.delenv(mlflow_runs.URI, raising=False)

    assert tracker(None) is None


def test_a_server_that_does_not_answer_is_named_before_the_training(records, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    new = tmp_path / "new"

    with pytest.raises(UserError, match=f"MLflow at '{uri}' cannot be used"):
        train.main(quick_training(records, str(new), mlflow=uri))

    assert not new.exists()


def test_that_mlflow_is_missing_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)

    with pytest.raises(UserError, match=r"\[mlflow\]"):
        Tracker("http://127.0.0.1:1")


def test_nested_figures_are_flattened():
    figures = {"a": {"b": {"value": 1, "low": 0, "high": 2}, "c": [3]}, "d": None}

    assert dict(flatten(figures)) == {"a.b": 1, "a.c": [3], "d": None}
