import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pipeline.comparison.measure import discordance
from pipeline.comparison.report import compare
from pipeline.evaluation.intervals import Interval
from tfrecords_builder import storage
from tfrecords_builder.errors import UserError


@pytest.fixture
def two_runs(evaluation, finished_run, tmp_path) -> tuple[str, str, str]:
    """Two runs that have evaluated the same images, with different answers; and the evaluation."""
    name = Path(evaluation.page).parent.name
    first, second = (str(shutil.copytree(finished_run, tmp_path / run)) for run in ("first", "second"))
    table = Path(second, "evaluation", name, "predictions.csv")
    rows = list(csv.DictReader(table.open()))
    for number, row in enumerate(rows):
        if number % 5 == 0:
            row["probability"] = str(1 - float(row["probability"]))
    table.write_text(storage.to_csv(rows))
    return first, second, name


def test_a_comparison_has_figures_disagreements_and_a_page(two_runs, records, evaluation, tmp_path):
    first, second, name = two_runs
    output = tmp_path / "comparison"

    comparison = compare([first, second], str(output), name, records)

    auc = evaluation.metrics["over_thresholds"]["auc"]["value"]
    assert comparison.runs[0].auc.value == pytest.approx(auc, abs=1e-4)
    (difference,) = comparison.differences
    assert difference.auc_difference.value == pytest.approx(
        comparison.runs[1].auc.value - comparison.runs[0].auc.value
    )
    assert difference.auc_difference.high < 0
    assert difference.delong_p_value < 0.05
    changed = difference.pneumonia.only_first_right + difference.normal.only_first_right
    assert changed >= 4
    with (output / "disagreements.csv").open() as file:
        assert len(list(csv.DictReader(file))) == changed
    page = (output / "comparison.html").read_text()
    assert page.count("data:image/png;base64,") == changed
    assert json.loads((output / "comparison.json").read_text())["images"] == 40
    assert compare([first, second], str(output), name, None) == comparison  # again, over the first


def test_a_run_does_not_differ_from_itself(two_runs, tmp_path):
    first, _, name = two_runs

    (difference,) = compare([first, first], str(tmp_path / "comparison"), name, None).differences

    assert difference.auc_difference == Interval(0, 0, 0)
    assert math.isnan(difference.delong_p_value)
    assert "All runs call every image the same" in (tmp_path / "comparison/comparison.html").read_text()
    written = json.loads((tmp_path / "comparison/comparison.json").read_text())
    assert written["differences"][0]["delong_p_value"] is None


def test_mcnemars_test_is_the_exact_one():
    first = np.array([True] * 12 + [False] * 3 + [True] * 20)
    second = np.array([False] * 12 + [True] * 3 + [True] * 20)

    measured = discordance(first, second)

    assert (measured.only_first_right, measured.only_second_right) == (12, 3)
    assert measured.p_value == pytest.approx(2 * stats.binom.cdf(3, 15, 0.5))


def test_the_only_evaluation_that_all_have_is_compared(two_runs, write_records, tmp_path):
    first, second, name = two_runs
    for folder in Path(first, "evaluation").iterdir():
        if folder.name != name:
            shutil.rmtree(folder)

    assert compare([first, second], str(tmp_path / "comparison"), None, None).evaluation == name

    shutil.rmtree(Path(first, "evaluation"))
    with pytest.raises(UserError, match="one evaluation that all runs have, found none"):
        compare([first, second], str(tmp_path / "comparison"), None, None)


def test_runs_of_different_images_are_refused(two_runs, tmp_path):
    first, second, name = two_runs
    table = Path(second, "evaluation", name, "predictions.csv")
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))

    with pytest.raises(UserError, match="different images"):
        compare([first, second], str(tmp_path / "comparison"), name, None)


def test_the_command_refuses_a_single_run_and_files_of_others(command, two_runs):
    first, second, name = two_runs
    code, _, (line,) = command("pipeline.compare", first)
    assert (code, "at least two" in line) == (2, True)

    Path("comparison").mkdir()
    Path("comparison/comparison.html").write_text("mine")
    code, _, (line,) = command("pipeline.compare", first, second, "--evaluation", name)
    assert (code, "comparison.html" in line) == (2, True)

    code, out, _ = command("pipeline.compare", first, second, "--evaluation", name, "--output", "mine")
    assert (code, out.splitlines()[-1]) == (0, "mine/comparison.html")
