import shutil

import numpy as np
import pytest

from pipeline import runs
from pipeline.decision import calibration
from pipeline.input.arrays import load_arrays
from pipeline.model import predict_probabilities
from pipeline.network.calibrated import without_calibration
from pipeline.training.calibrate import calibrate


def test_a_run_is_calibrated_on_val(finished_run, records):
    run = runs.load(finished_run)
    images, labels = load_arrays(records, "val")
    uncalibrated = predict_probabilities(without_calibration(run.model), images, 16)

    fitted = calibration.fit(labels, uncalibrated, "val", balanced=True)

    assert run.calibration.fitted_on == "val"
    assert run.calibration.slope == pytest.approx(fitted.slope, rel=1e-3)
    assert run.calibration.intercept == pytest.approx(fitted.intercept, rel=1e-2, abs=1e-3)
    np.testing.assert_allclose(
        predict_probabilities(run.model, images, 16), run.calibration.apply(uncalibrated), atol=1e-5
    )


def test_a_model_that_does_not_rank_is_not_calibrated(finished_run, tmp_path, caplog):
    run = str(shutil.copytree(finished_run, tmp_path / "run"))
    model = without_calibration(runs.load_model(run))

    probabilities = calibrate(
        run, model, np.array([1, 1, 0, 0]), np.array([0.1, 0.2, 0.8, 0.9]), "val", balanced=True
    )

    assert probabilities.tolist() == [0.1, 0.2, 0.8, 0.9]
    assert runs.load(run).calibration is None
    assert "is not calibrated" in caplog.text
