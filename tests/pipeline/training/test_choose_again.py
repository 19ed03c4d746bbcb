import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline import runs
from pipeline.decision.operating_point import Rule
from pipeline.training import out_of_fold
from pipeline.training.choose_again import choose_again
from tfrecords_builder import storage
from tfrecords_builder.errors import UserError


@pytest.fixture
def run(finished_run, tmp_path) -> str:
    """A copy of the finished run."""
    return str(shutil.copytree(finished_run, tmp_path / "run"))


def again(run, records=None, split="val", rule=None, *, trust_labels=False):
    return choose_again(run, records, split, rule or Rule(), trust_labels=trust_labels, batch_size=16)


def test_the_rule_of_the_training_chooses_the_threshold_of_the_training(run):
    choice = again(run)

    assert dataclasses.astuple(choice.chosen) == pytest.approx(dataclasses.astuple(choice.before))
    assert runs.load(run).operating_point == choice.chosen


def test_other_records_and_another_rule_choose_another_threshold(run, write_records):
    other = write_records({"test": 30})

    choice = again(run, other, "test", Rule("specificity", 0.9))

    assert choice.chosen.specificity >= 0.9
    assert choice.chosen.chosen_on == f"test of {other}"
    assert runs.load(run).operating_point == choice.chosen


def test_a_training_in_folds_chooses_on_its_out_of_fold_predictions(run):
    suspicion = [0.0] * 8 + [0.5] * 2
    labels, probabilities = [0, 1] * 5, [0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6, 0.95, 0.05]
    rows = [
        {"source": str(row), "patient": "", "subtype": "", "fold": 1, "label": labels[row]}
        | {"probability": probabilities[row], "suspicion": suspicion[row]}
        for row in range(10)
    ]
    storage.write(f"{run}/{runs.OUT_OF_FOLD}", storage.to_csv(rows))
    assert out_of_fold.read_table(run).suspicion.tolist() == suspicion

    without, trusted = again(run, rule=Rule(target=1)), again(run, rule=Rule(target=1), trust_labels=True)

    calibrated = runs.load(run).calibration.apply(np.array([0.0, 0.05, 0.4, 0.6]))
    assert without.chosen.threshold == pytest.approx(calibrated[2:].mean())
    assert without.chosen.labels_left_out == 2
    assert trusted.chosen.threshold == pytest.approx(calibrated[1] / 2)


def test_a_rule_that_cannot_be_fulfilled_changes_nothing(run):
    before = Path(run, "operating_point.json").read_bytes()

    with pytest.raises(UserError, match="too few for a confidence"):
        again(run, rule=Rule(target=0.99, confidence=0.999))

    assert Path(run, "operating_point.json").read_bytes() == before


def test_the_test_images_of_the_training_are_spent_when_they_choose(run, records, caplog):
    again(run, records, "test")
    assert "no longer say how good it is" in caplog.text


def test_the_command_prints_both_operating_points(command, run):
    code, out, _ = command("pipeline.operating_point", run, "--rule", "youden")

    before, now = out.splitlines()
    assert code == 0
    assert "sensitivity at least 0.97" in before
    assert "Youden" in now
    assert json.loads(Path(run, "operating_point.json").read_text())["target_sensitivity"] is None


def test_a_split_that_is_missing_is_refused(run, write_records):
    with pytest.raises(UserError, match="lacks images of a class"):
        again(run, write_records({"test": 4}), "val")
