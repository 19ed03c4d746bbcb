"""Writes the warm-up requests of a version, which a server runs before it lets the version answer.

See docs/serving-contract.md, section 12.
"""

from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from serving import names
from serving.exporting.random_images import encode_png, random_images
from tfrecords_builder import Preprocessing, storage

WARMUP_BATCH_SIZES = (1, 8, 32)
"""Images in a warm-up request. These are the batch sizes that `serving/config/batching-gpu.config` allows."""


def write_warm_up(preprocessing: Preprocessing, folder: str) -> None:
    """Writes one request for each signature and batch size.

    Args:
        preprocessing: says how large the model's images are.
        folder: folder of the version; a path or a URL.
    """
    pixels = random_images(preprocessing.image_size, max(WARMUP_BATCH_SIZES))
    encoded = encode_png(pixels)
    path = storage.join(folder, names.EXTRA_ASSETS, names.WARMUP_FILE)
    tf.io.gfile.makedirs(path.rpartition("/")[0])
    with tf.io.TFRecordWriter(path) as writer:
        for size in WARMUP_BATCH_SIZES:
            for signature, inputs in (
                (names.DEFAULT_SIGNATURE, {names.IMAGE_BYTES: encoded[:size]}),
                (names.GRADCAM_SIGNATURE, {names.IMAGE_BYTES: encoded[:size]}),
                (names.PIXELS_SIGNATURE, {names.IMAGE: pixels[:size]}),
            ):
                writer.write(_prediction_log(signature, inputs).SerializeToString())


def _prediction_log(signature: str, inputs: dict[str, Any]) -> prediction_log_pb2.PredictionLog:
    request = predict_pb2.PredictRequest(
        model_spec=model_pb2.ModelSpec(name=names.MODEL_NAME, signature_name=signature),
        inputs={name: tf.make_tensor_proto(value) for name, value in inputs.items()},
    )
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
