"""`python -m serving.export RUN MODELS`: publishes a run as the next version of the served model.

The SavedModel is written beside the versions under a name that is no integer, loaded again, compared with the
run's own predictions, and only then renamed: a server that polls the folder never sees half a version, or one
that answers otherwise than the run.
"""

import dataclasses
import hashlib
import json
import logging
import os
from typing import Annotated, Any

import numpy as np
import tensorflow as tf
import tyro
from numpy.typing import NDArray
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from pipeline import operating_point, runs
from pipeline.runs import Run
from serving.signatures import ServedClassifier
from serving.version_folders import version_folders
from tfrecords_builder import manifest, storage
from tfrecords_builder.cli.command import run
from tfrecords_builder.errors import UserError

MODEL_NAME = "pneumonia"
TOLERANCE = 1e-3
"""Largest difference in probability between the run's model and the loaded SavedModel."""
WARMUP_BATCH_SIZES = (1, 8, 32)
"""The batch sizes that `serving/config/batching-gpu.config` allows."""

EXTRA_ASSETS = "assets.extra"
WARMUP_FILE = "tf_serving_warmup_requests"
_CHECKED_IMAGES = 8

logger = logging.getLogger(__name__)


class ExportRefused(UserError):
    """The SavedModel does not answer as the run does."""


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Exports a run as a SavedModel for TensorFlow Serving, with prediction and Grad-CAM signatures."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """Folder of a finished run; a path or a URL."""
    models: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODELS")]
    """Folder of models; the version goes to MODELS/pneumonia/VERSION."""
    version: int | None = None
    """Version number; by default the one after the highest there."""

    def __post_init__(self) -> None:
        if self.version is not None and self.version < 1:
            raise ValueError(f"version must be at least 1. Received: {self.version}")


def export(run_folder: str, models: str, version: int | None = None) -> str:
    """Publishes a finished run.

    Args:
        run_folder: of the run; a path or a URL.
        models: folder of models; a path or a URL.
        version: its number; None for the one after the highest there.

    Returns:
        The folder of the new version.

    Raises:
        UserError: if the run is not finished, or the version is there already.
        ExportRefused: if the SavedModel does not reproduce the run's own predictions.
    """
    loaded = runs.load(run_folder)
    base = storage.join(models, MODEL_NAME)
    folders = version_folders(base) if storage.exists(base) else {}
    number = version if version is not None else max(folders, default=0) + 1
    target = storage.join(base, str(number))
    if number in folders:
        raise UserError(f"{target!r} is there already: versions are never replaced; leave out --version")
    unfinished = storage.join(base, f"unfinished-{number}-{os.getpid()}")
    try:
        _write(loaded, unfinished)
        _check_answers(loaded, unfinished)
        tf.io.gfile.rename(unfinished, target)
    finally:
        if storage.exists(unfinished):
            tf.io.gfile.rmtree(unfinished)
    return target


def _write(loaded: Run, folder: str) -> None:
    served = ServedClassifier(loaded.model, loaded.preprocessing, loaded.operating_point)
    tf.saved_model.save(served, folder, signatures=served.signatures())
    _write_warmup(loaded, folder)
    for name in (
        runs.CONFIG,
        runs.ENVIRONMENT,
        operating_point.FILE_NAME,
        manifest.FILE_NAME,
        f"{runs.EVALUATION}/metrics.json",
    ):
        source = storage.join(loaded.folder, name)
        if storage.exists(source):
            storage.write(storage.join(folder, EXTRA_ASSETS, "run", name), storage.read(source))
    with tf.io.gfile.GFile(storage.join(loaded.folder, runs.MODEL), "rb") as model:
        digest = hashlib.sha256(model.read()).hexdigest()
    storage.write(storage.join(folder, EXTRA_ASSETS, "run", f"{runs.MODEL}.sha256"), f"{digest}\n")


def _write_warmup(loaded: Run, folder: str) -> None:
    """Requests that TensorFlow Serving answers before it lets a version take over, for each signature."""
    pixels = _noise(loaded.preprocessing.image_size, max(WARMUP_BATCH_SIZES))
    encoded = _as_png(pixels)
    path = storage.join(folder, EXTRA_ASSETS, WARMUP_FILE)
    tf.io.gfile.makedirs(path.rpartition("/")[0])
    with tf.io.TFRecordWriter(path) as writer:
        for size in WARMUP_BATCH_SIZES:
            for signature, inputs in (
                ("serving_default", {"image_bytes": encoded[:size]}),
                ("gradcam", {"image_bytes": encoded[:size]}),
                ("pixels", {"image": pixels[:size]}),
            ):
                writer.write(_prediction_log(signature, inputs).SerializeToString())


def _prediction_log(signature: str, inputs: dict[str, Any]) -> prediction_log_pb2.PredictionLog:
    request = predict_pb2.PredictRequest(
        model_spec=model_pb2.ModelSpec(name=MODEL_NAME, signature_name=signature),
        inputs={name: tf.make_tensor_proto(value) for name, value in inputs.items()},
    )
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))


def _check_answers(loaded: Run, folder: str) -> None:
    """Compares the saved graph, loaded anew, with OpenCV's preprocessing and the run's Keras model.

    Raises:
        ExportRefused: if a probability differs by more than TOLERANCE, or is no number.
    """
    signatures = tf.saved_model.load(folder).signatures
    # Larger than the model's images, so that cropping and resizing are compared too.
    encoded = _as_png(_noise(3 * loaded.preprocessing.image_size, _CHECKED_IMAGES))
    pixels = np.stack([loaded.preprocessing.apply(png) for png in encoded])[..., None]
    expected = loaded.model.predict(pixels, verbose=0)[:, 0]
    requests: dict[str, dict[str, Any]] = {
        "pixels": {"image": pixels},
        "serving_default": {"image_bytes": encoded},
        "gradcam": {"image_bytes": encoded},
    }
    for name, inputs in requests.items():
        try:
            answer = signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        except tf.errors.InvalidArgumentError as error:
            reason = [line for line in error.message.splitlines() if line.strip() and "[[" not in line][-1]
            raise ExportRefused(
                f"signature {name!r} of the exported model cannot answer: {reason}; nothing was published"
            ) from None
        difference = float(np.abs(answer["probability"].numpy() - expected).max())
        if not difference <= TOLERANCE:
            raise ExportRefused(
                f"signature {name!r} of the exported model differs from the run's own predictions by "
                f"{difference:.2g}, more than {TOLERANCE}: nothing was published"
            )


def _noise(side: int, count: int) -> NDArray[np.uint8]:
    """Smooth random images uint8 (count, side, side, 1), which differ in brightness and structure."""
    generator = np.random.default_rng(0)
    coarse = generator.uniform(0, 255, (count, 8, 8, 1)) * generator.uniform(0.3, 1, (count, 1, 1, 1))
    smooth = tf.image.resize(coarse, (side, side), method="bilinear")
    return tf.cast(smooth, tf.uint8).numpy()


def _as_png(images: NDArray[np.uint8]) -> list[bytes]:
    return [tf.io.encode_png(image).numpy() for image in images]


def main(config: ExportConfig) -> None:
    """Exports and prints the folder of the new version."""
    folder = export(config.run, config.models, config.version)
    logger.info("%s", json.dumps(dataclasses.asdict(runs.load(config.run).operating_point)))
    print(folder)  # noqa: T201


if __name__ == "__main__":
    run(main, ExportConfig, "python -m serving.export")
