import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline import runs
from pipeline.input.arrays import load_arrays
from pipeline.evaluate import evaluate
from pipeline.evaluation import robustness
from tfrecords_builder.errors import UserError


@pytest.fixture(scope="module")
def evaluation(finished_run, records) -> Path:
    evaluate(finished_run, records)
    return Path(finished_run) / "evaluation"


def test_figures_are_those_of_the_models_predictions(evaluation, finished_run, records):
    measured = json.loads((evaluation / "metrics.json").read_text())
    loaded = runs.load(finished_run)
    images, labels = (array.numpy() for array in load_arrays(records, "test"))
    probabilities = loaded.model.predict(images, verbose=0)[:, 0]

    assert measured["over_thresholds"]["auc"]["value"] == pytest.approx(roc_auc_score(labels, probabilities))
    found = probabilities >= loaded.operating_point.threshold
    assert measured["at_operating_point"]["true_positives"] == int(found[labels == 1].sum())
    assert measured["images"] == {"NORMAL": 20, "PNEUMONIA": 20}
    assert measured["robustness"]["as it is"]["auc"] == measured["over_thresholds"]["auc"]["value"]
    assert set(measured["sensitivity_of_subtype"]) == {"virus"}


def test_every_prediction_is_written_with_its_source(evaluation, records):
    with (evaluation / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))

    labels = load_arrays(records, "test")[1].numpy()
    assert [row["label"] for row in rows] == ["PNEUMONIA" if label else "NORMAL" for label in labels]
    assert len({row["source"] for row in rows}) == len(rows) == 40
    assert all(0 <= float(row["probability"]) <= 1 for row in rows)


def test_the_report_needs_nothing_beside_it_and_says_what_it_is(evaluation):
    report = (evaluation / "report.html").read_text()

    assert "not a medical device" in report
    assert report.count("data:image/png;base64,") == 6
    assert 'src="http' not in report
    pictures = sorted(path.name for path in evaluation.glob("*.png"))
    assert len(pictures) == 6
    assert all(cv2.imread(str(evaluation / name)) is not None for name in pictures)


def test_records_of_another_preprocessing_are_refused(finished_run, write_records):
    other = write_records({"test": 4}, border=0.2)

    with pytest.raises(UserError, match=r"border=0\.2.*border=0\.1"):
        evaluate(finished_run, other)


def test_an_unfinished_run_is_refused(records, tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        evaluate(str(tmp_path), records)


@pytest.mark.parametrize("name", robustness.CHANGES)
def test_a_change_of_the_acquisition_changes_pixels_and_keeps_shape_and_type(name, images):
    changed = robustness.changed(images, robustness.CHANGES[name])

    assert (changed.shape, changed.dtype) == (images.shape, np.uint8)
    assert (changed != images).any()


def test_wider_makes_wider():
    square = np.zeros((1, 64, 64, 1), np.uint8)
    square[0, 24:40, 24:40] = 255

    wide = robustness.changed(square, robustness.CHANGES["wider x 1.1"])[0, ..., 0] > 127

    assert wide.any(axis=0).sum() == pytest.approx(16 * 1.1, abs=1)
    assert wide.any(axis=1).sum() == 16
