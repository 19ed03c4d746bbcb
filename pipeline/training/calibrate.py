"""Calibrates the model of a run, and writes it."""

import logging

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline import runs
from pipeline.decision import calibration
from pipeline.decision.calibration import Calibration
from pipeline.network.calibrated import with_calibration
from tfrecords_builder import storage

logger = logging.getLogger(__name__)


def calibrate(
    run: str,
    model: keras.Model,
    labels: NDArray[np.integer | np.floating],
    probabilities: NDArray[np.floating],
    fitted_on: str,
    *,
    balanced: bool,
) -> NDArray[np.float64]:
    """Fits a calibration to predictions and writes the calibrated model. The run is unfinished meanwhile.

    A model that does not rank the images is written as it is.

    Args:
        run: the run folder, a path or a URL.
        model: its model, without calibration.
        labels: shape (n,), 0 or 1, both present.
        probabilities: what the model predicts for these images, shape (n,), 0 to 1.
        fitted_on: names the images.
        balanced: whether both classes count alike, as in a training with class weights.

    Returns:
        The calibrated probabilities, shape (n,), 0 to 1.
    """
    path = storage.join(run, calibration.FILE_NAME)
    try:
        fitted = calibration.fit(labels, probabilities, fitted_on, balanced=balanced)
    except ValueError as error:
        logger.warning("%s is not calibrated: %s", run, error)
        if storage.exists(path):
            storage.remove(path)
        storage.write_with(storage.join(run, runs.MODEL), model.save)
        return np.asarray(probabilities, np.float64)
    save_calibrated(run, model, fitted)
    logger.info(
        "calibrated on %s: slope %.3f, intercept %.3f, log loss %.4f before and %.4f after",
        fitted_on,
        fitted.slope,
        fitted.intercept,
        fitted.log_loss_before,
        fitted.log_loss_after,
    )
    return fitted.apply(probabilities)


def save_calibrated(run: str, model: keras.Model, fitted: Calibration) -> None:
    """Writes `calibration.json`, and a model with this calibration, into a run folder."""
    calibrated = with_calibration(model, fitted.slope, fitted.intercept)
    storage.write(storage.join(run, calibration.FILE_NAME), fitted.to_json())
    storage.write_with(storage.join(run, runs.MODEL), calibrated.save)
