import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline import runs
from pipeline.decision.operating_point import Rule
from pipeline.input.arrays import load_arrays, load_origins
from pipeline.model import predict_probabilities
from pipeline.operating_point import OperatingPointConfig, main
from pipeline.site.refit import Refit, refit
from tfrecords_builder.errors import UserError


@pytest.fixture(scope="module")
def site(write_records) -> str:
    """Records of another site: test images only."""
    return write_records({"test": 80})


def fit(run, site, new_run, **changes):
    options = {"images": 40, "rule": Rule(), "seed": 0, "batch_size": 16}
    return refit(run, site, "test", str(new_run), **options | changes)


@pytest.fixture(scope="module")
def new_run(finished_run, site, tmp_path_factory) -> tuple[str, Refit]:
    """A run folder that was written for the site, and what was fitted."""
    folder = str(tmp_path_factory.mktemp("site") / "new")
    return folder, fit(finished_run, site, folder)


def test_a_site_gets_a_run_of_its_own(new_run, site):
    folder, fitted = new_run
    run = runs.load(folder)
    assert run.calibration.slope == pytest.approx(fitted.slope.value)
    assert run.operating_point.threshold == pytest.approx(fitted.threshold.value)
    assert fitted.threshold.low <= fitted.threshold.value <= fitted.threshold.high
    assert run.calibration.fitted_on == f"{sum(fitted.fitted_images.values())} images of {site}"
    images, labels = load_arrays(site, "test")
    rest = ~np.isin([origin["source"] for origin in load_origins(site, "test")], fitted.fitted_on)
    called = predict_probabilities(run.model, images, 16) >= run.operating_point.threshold
    assert fitted.after.sensitivity.value == pytest.approx(called[rest & (labels == 1)].mean())
    assert fitted.after.specificity.value == pytest.approx((~called)[rest & (labels == 0)].mean())
    assert sum(fitted.tested_images.values()) == rest.sum()
    assert json.loads(Path(folder, "site.json").read_text())["fitted_on"] == fitted.fitted_on


def test_no_patient_is_fitted_and_tested_on(new_run, site):
    fitted = new_run[1]

    origins = load_origins(site, "test")
    drawn = {origin["patient"] for origin in origins if origin["source"] in fitted.fitted_on}
    others = {origin["patient"] for origin in origins if origin["source"] not in fitted.fitted_on}
    assert not drawn & others
    assert sum(fitted.fitted_images.values()) >= 40


def test_the_weights_stay(finished_run, new_run):
    before, new = runs.load(finished_run), runs.load(new_run[0])

    for weights, same in zip(before.model.get_weights(), new.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, same)


@pytest.mark.slow
def test_the_command_prints_both(finished_run, site, tmp_path, capsys):
    before = runs.load(finished_run).operating_point

    main(OperatingPointConfig(finished_run, site, "test", new_run=str(tmp_path / "new"), images=40))

    assert runs.load(finished_run).operating_point == before
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == str(tmp_path / "new")
    assert any(line.startswith("sensitivity ") for line in printed)


def test_a_site_whose_images_are_not_ranked_is_refused(finished_run, write_records, tmp_path):
    """Both classes of these records are noise."""
    noise = write_records({"test": 40}, spots=False)

    with pytest.raises(UserError, match="this site cannot be served"):
        fit(finished_run, noise, tmp_path / "new")

    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("images", "message"), [(80, "to test on"), (1, "to fit on")])
def test_too_few_images_are_refused(finished_run, site, tmp_path, images, message):
    with pytest.raises(UserError, match=f"images of both classes are needed {message}"):
        fit(finished_run, site, tmp_path / "new", images=images)

    assert not (tmp_path / "new").exists()


def test_a_finished_run_is_not_replaced(finished_run, site, tmp_path):
    shutil.copytree(finished_run, tmp_path / "new")

    with pytest.raises(UserError, match="holds a run already"):
        fit(finished_run, site, tmp_path / "new")


def test_a_new_run_needs_records():
    with pytest.raises(ValueError, match="needs RECORDS"):
        OperatingPointConfig("run", new_run="new")
