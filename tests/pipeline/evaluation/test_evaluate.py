import csv
import errno
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import tensorflow as tf
import yaml
from sklearn.metrics import roc_auc_score

from pipeline import runs
from pipeline.evaluation.evaluate import evaluate, name_of
from pipeline.input import arrays
from pipeline.input.arrays import load_arrays
from tfrecords_builder import storage
from tfrecords_builder.errors import UserError

FIXED_PICTURES = {
    "calibration.png",
    "confusion.png",
    "decision_curve.png",
    "gradcam_mean.png",
    "precision_recall.png",
    "probabilities.png",
    "roc.png",
    "uncalibrated.png",
}


@pytest.fixture
def folder(evaluation) -> Path:
    """The folder that the evaluation was written to."""
    return Path(evaluation.page).parent


def test_figures_are_those_of_the_models_predictions(evaluation, folder, finished_run, records):
    measured = json.loads((folder / "metrics.json").read_text())
    assert measured == evaluation.metrics
    loaded = runs.load(finished_run)
    images, labels = load_arrays(records, "test")
    probabilities = loaded.model.predict(images, verbose=0)[:, 0]

    assert measured["over_thresholds"]["auc"]["value"] == pytest.approx(roc_auc_score(labels, probabilities))
    found = probabilities >= loaded.operating_point.threshold
    assert measured["at_operating_point"]["true_positives"] == int(found[labels == 1].sum())
    assert measured["images"] == {"NORMAL": 20, "PNEUMONIA": 20}
    assert measured["robustness"]["as it is"]["auc"] == measured["over_thresholds"]["auc"]["value"]
    assert set(measured["subgroups"]["subtype"]) == {"virus"}


def test_every_prediction_is_written_with_its_source(folder, records):
    with (folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))

    labels = load_arrays(records, "test")[1]
    assert [row["label"] for row in rows] == ["PNEUMONIA" if label else "NORMAL" for label in labels]
    assert len({row["source"] for row in rows}) == len(rows) == 40
    assert all(0 <= float(row["probability"]) <= 1 for row in rows)


def test_the_page_needs_no_file_beside_it_and_says_that_it_is_no_medical_device(evaluation, folder):
    page = (folder / "report.html").read_text()

    assert "not a medical device" in page
    assert page.count("data:image/png;base64,") == len(evaluation.pictures)
    assert 'src="http' not in page
    assert {path.name for path in folder.glob("*.png")} == evaluation.pictures.keys()
    assert evaluation.pictures.keys() > FIXED_PICTURES
    assert all(cv2.imread(str(folder / name)) is not None for name in evaluation.pictures)


def test_a_large_split_is_evaluated_from_disk_to_the_same_figures(
    evaluation, finished_run, records, tmp_path, monkeypatch
):
    monkeypatch.setattr(arrays, "IN_MEMORY", 1000)
    run = shutil.copytree(finished_run, tmp_path / "run")

    from_disk = evaluate(str(run), records)

    assert dict(numbers(from_disk.metrics)) == pytest.approx(dict(numbers(evaluation.metrics)), abs=1e-5)


@pytest.mark.slow
def test_pictures_of_an_evaluation_before_are_removed(finished_run, records, tmp_path):
    run = shutil.copytree(finished_run, tmp_path / "run")
    folder = Path(evaluate(str(run), records, name="again").page).parent
    (folder / "false_alarm_99.png").write_bytes((folder / "roc.png").read_bytes())

    evaluation = evaluate(str(run), records, name="again")

    assert {path.name for path in folder.glob("*.png")} == evaluation.pictures.keys()


def test_the_model_card_has_what_model_hubs_read(evaluation, folder):
    _, fields, text = (folder / "model_card.md").read_text().split("---\n", 2)

    result = yaml.safe_load(fields)["model-index"][0]["results"][0]
    assert result["dataset"] == {"name": folder.name, "type": "chest-x-ray", "split": "test"}
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values["roc_auc"] == pytest.approx(evaluation.metrics["over_thresholds"]["auc"]["value"], abs=1e-4)
    sensitivity = evaluation.metrics["at_operating_point"]["sensitivity"]["value"]
    assert values["recall"] == pytest.approx(sensitivity, abs=1e-4)
    assert "not a medical device" in text
    assert "| train | 48 | 48 | 96 |" in text


@pytest.mark.slow
def test_run_and_records_behind_urls_give_the_same_evaluation(evaluation, finished_run, records):
    run_url, records_url = "ram://evaluated/run", "ram://evaluated/records"
    copy_to_url(Path(finished_run), run_url)
    copy_to_url(Path(records), records_url)
    assert not storage.exists(f"{run_url}/evaluation")

    from_urls = evaluate(run_url, records_url, batch_size=7)

    of_test = f"{run_url}/evaluation/records-test"
    assert from_urls.page == f"{of_test}/report.html"
    files = {"dataset.json", "metrics.json", "model_card.md", "predictions.csv", "report.html"}
    assert set(tf.io.gfile.listdir(of_test)) == files | from_urls.pictures.keys()
    written = json.loads(storage.read(f"{of_test}/metrics.json"))
    assert written == from_urls.metrics
    assert dict(numbers(written)) == pytest.approx(dict(numbers(evaluation.metrics)), abs=1e-5)


def numbers(metrics: dict[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in nested objects, by their path."""
    for key, value in metrics.items():
        if isinstance(value, dict):
            yield from numbers(value, f"{path}{key}.")
        elif isinstance(value, float):
            yield f"{path}{key}", value


def copy_to_url(folder: Path, url: str) -> None:
    """Copies the files of a folder, without its subfolders."""
    for path in folder.iterdir():
        if path.is_file():
            storage.write(f"{url}/{path.name}", path.read_bytes())


def test_each_data_set_has_an_evaluation_of_its_own(evaluation, folder, finished_run, records, write_records):
    others = write_records({"test": 10})
    before = (folder / "metrics.json").read_bytes()
    with pytest.raises(UserError, match=r"evaluation of other records.*--name"):
        evaluate(finished_run, others, name=Path(records).name)

    of_others = evaluate(finished_run, others, name="hospital-b")

    assert of_others.page == f"{finished_run}/evaluation/hospital-b-test/report.html"
    assert of_others.metrics["images"] == {"NORMAL": 5, "PNEUMONIA": 5}
    assert (folder / "metrics.json").read_bytes() == before
    runs.refuse_foreign_folder(finished_run, overwrite=True)  # the run knows its evaluations


def test_the_name_of_an_evaluation_is_that_of_the_records_folder(tmp_path, monkeypatch):
    (tmp_path / "my records (2)").mkdir()
    monkeypatch.chdir(tmp_path / "my records (2)")

    assert name_of(".") == "my_records_2_"
    assert name_of("gs://bucket/records/") == "records"


def test_records_of_another_preprocessing_are_refused(finished_run, write_records):
    other = write_records({"test": 4}, border=0.2)

    with pytest.raises(UserError, match=r"border=0\.2.*border=0\.1"):
        evaluate(finished_run, other)


def test_a_split_without_one_of_the_classes_is_refused(finished_run, write_records):
    one_image = write_records({"test": 1}, shards=1)

    with pytest.raises(UserError, match="images of both classes"):
        evaluate(finished_run, one_image)


def test_a_split_that_is_missing_is_refused(finished_run, write_records):
    with pytest.raises(UserError, match=r"'val'.*images of both classes"):
        evaluate(finished_run, write_records({"test": 4}), split="val")


def test_a_run_folder_that_cannot_be_written_is_refused_before_anything_is_measured(
    finished_run, records, monkeypatch
):
    def read_only(**_):
        raise OSError(errno.EROFS, "Read-only file system", "a temporary name")

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    monkeypatch.setattr("pipeline.evaluation.evaluate.predict_split", lambda *_: pytest.fail("was measured"))

    with pytest.raises(OSError, match="Read-only") as failure:
        evaluate(finished_run, records)

    assert failure.value.filename == f"{finished_run}/evaluation/{Path(records).name}-test"


def test_an_unfinished_run_is_refused(records, tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        evaluate(str(tmp_path), records)
