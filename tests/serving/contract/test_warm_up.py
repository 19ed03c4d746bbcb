"""docs/serving-contract.md, section 12: requests that are run before a version becomes available."""

import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.server.servable import Servable
from serving.server.status import StatusError
from tests.serving.contract.wire import predict_request


@pytest.fixture
def version(models, tmp_path) -> Path:
    return shutil.copytree(f"{models}/pneumonia/1", tmp_path / "1")


@pytest.fixture
def write(version):
    """Replaces the warm-up requests."""

    def write(records) -> None:
        path = version / "assets.extra/tf_serving_warmup_requests"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                writer.write(record if isinstance(record, bytes) else record.SerializeToString())

    return write


def log(request) -> prediction_log_pb2.PredictionLog:
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))


def pixels(images, name="pneumonia"):
    return log(predict_request(signature="pixels", name=name, image=tf.make_tensor_proto(images[:1])))


def load(version) -> None:
    Servable("pneumonia", 1, str(version)).close()


def test_without_the_file_there_is_no_warm_up(version):
    (version / "assets.extra/tf_serving_warmup_requests").unlink()
    load(version)


def test_the_name_and_the_version_of_a_record_are_ignored(version, write, images):
    record = pixels(images, name="another")
    record.predict_log.request.model_spec.version.value = 7
    write([record])
    load(version)


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        (lambda: predict_request([b"x"], "none"), 'Serving signature key "none" not found.'),
        (lambda: predict_request(x=tf.make_tensor_proto(1)), "Signature input alias"),
    ],
)
def test_a_record_that_fails_fails_the_load(version, write, request_of, message):
    write([log(request_of())])
    with pytest.raises(StatusError, match=message):
        load(version)


def test_a_record_that_does_not_parse_fails_the_load(version, write):
    write([b"\xff\xff no log"])
    with pytest.raises(Exception, match="parsing"):
        load(version)


def test_logs_of_other_kinds_are_unimplemented(version, write):
    write([prediction_log_pb2.PredictionLog(session_run_log=prediction_log_pb2.SessionRunLog())])
    with pytest.raises(StatusError) as raised:
        load(version)
    assert raised.value.code.name == "UNIMPLEMENTED"


def test_the_1001st_record_fails_the_load(version, write, images):
    record = pixels(images)
    write([record] * 1000)
    load(version)
    write([record] * 1001)
    with pytest.raises(StatusError, match="exceeds the maximum"):
        load(version)
