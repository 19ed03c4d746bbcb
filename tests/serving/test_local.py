"""The local server, over real connections: raw gRPC and raw HTTP, not our own client."""

import base64
import http.client
import json
import shutil
import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.export import export
from serving.local import LocalConfig, serving
from tfrecords_builder.command import UserError

TAKE_OVER_SECONDS = 60


def predict_request(images, signature="", name="pneumonia"):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(images, tf.string, [len(images)]))
    return request


def over_grpc(port, images, signature="", **kwargs):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return stub.Predict(predict_request(images, signature, **kwargs), timeout=30)


def over_http(port, method, path, body=None) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, body if isinstance(body, bytes | None) else json.dumps(body))
    response = connection.getresponse()
    reply = json.loads(response.read())
    connection.close()
    return response.status, reply


def b64(image: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(image).decode()}


@pytest.fixture(scope="module")
def loaded(models):
    return tf.saved_model.load(f"{models}/pneumonia/1").signatures


@pytest.mark.parametrize("signature", ["", "serving_default", "gradcam"])
def test_grpc_answers_as_the_saved_model(local_server, loaded, encoded_images, signature):
    expected = loaded[signature or "serving_default"](image_bytes=tf.constant(encoded_images))

    response = over_grpc(local_server.grpc, encoded_images, signature)

    assert set(response.outputs) == set(expected)
    for name, tensor in response.outputs.items():
        values = tf.make_ndarray(tensor)
        if values.dtype == object:
            assert values.tolist() == expected[name].numpy().tolist()
        else:
            np.testing.assert_allclose(values, expected[name], atol=1e-6)
    assert response.model_spec.version.value == 1


@pytest.mark.parametrize("signature", ["serving_default", "gradcam"])
def test_rest_answers_as_the_saved_model_in_rows_and_in_columns(
    local_server, loaded, encoded_images, signature
):
    expected = loaded[signature](image_bytes=tf.constant(encoded_images))
    path = "/v1/models/pneumonia:predict"
    common = {"signature_name": signature}

    rows = {"instances": [b64(image) for image in encoded_images]}
    status, by_row = over_http(local_server.rest, "POST", path, common | rows)
    assert status == 200
    columns = {"inputs": [b64(image) for image in encoded_images]}
    status, by_column = over_http(local_server.rest, "POST", path, common | columns)
    assert status == 200

    probabilities = expected["probability"].numpy()
    assert [row["probability"] for row in by_row["predictions"]] == pytest.approx(probabilities, abs=1e-6)
    assert by_column["outputs"]["probability"] == pytest.approx(probabilities, abs=1e-6)
    labels = [label.decode() for label in expected["label"].numpy()]
    assert by_column["outputs"]["label"] == labels
    if signature == "gradcam":
        pictures = [base64.b64decode(row["overlay_bytes"]["b64"]) for row in by_row["predictions"]]
        assert pictures == expected["overlay_bytes"].numpy().tolist()


def test_what_is_no_image_is_answered_as_invalid(local_server, encoded_images):
    images = [encoded_images[0], b"no image"]

    response = over_grpc(local_server.grpc, images)
    body = {"inputs": [b64(image) for image in images]}
    status, reply = over_http(local_server.rest, "POST", "/v1/models/pneumonia:predict", body)

    assert list(response.outputs["valid"].bool_val) == [True, False]
    assert status == 200
    assert reply["outputs"]["label"][1] == "INVALID"
    assert reply["outputs"]["probability"][1] == -1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda request: setattr(request.model_spec, "name", "other"), "NOT_FOUND"),
        (lambda request: setattr(request.model_spec.version, "value", 99), "NOT_FOUND"),
        (lambda request: setattr(request.model_spec, "signature_name", "no"), "FAILED_PRECONDITION"),
        (lambda request: request.inputs.pop("image_bytes"), "INVALID_ARGUMENT"),
        (
            lambda request: request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([1.0])),
            "INVALID_ARGUMENT",
        ),
    ],
    ids=["model", "version", "signature", "no input", "type"],
)
def test_a_wrong_grpc_request_gets_its_status(local_server, encoded_images, change, code):
    request = predict_request(encoded_images[:1])
    change(request)
    with grpc.insecure_channel(f"127.0.0.1:{local_server.grpc}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as raised:
            stub.Predict(request, timeout=30)
    assert raised.value.code().name == code
    assert raised.value.details()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/models/other:predict", {"instances": [b64(b"x")]}, 404),
        ("/v1/models/pneumonia/versions/99:predict", {"instances": [b64(b"x")]}, 404),
        ("/v1/models/pneumonia:predict", b"no JSON", 400),
        ("/v1/models/pneumonia:predict", {}, 400),
        ("/v1/models/pneumonia:predict", {"instances": [1.5]}, 400),
        ("/v1/models/pneumonia:predict", {"instances": [b64(b"x")], "signature_name": "no"}, 400),
        ("/v1/models/pneumonia:classify", {"examples": []}, 400),
        ("/somewhere/else", {}, 400),
    ],
)
def test_a_wrong_rest_request_gets_its_status_and_a_reason(local_server, path, body, status):
    received, reply = over_http(local_server.rest, "POST", path, body)

    assert received == status
    assert set(reply) == {"error"}
    assert reply["error"]


def test_status_and_metadata_over_both(local_server):
    with grpc.insecure_channel(f"127.0.0.1:{local_server.grpc}") as channel:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "pneumonia"
        status = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=30)
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = "pneumonia"
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        metadata = stub.GetModelMetadata(request, timeout=30)

    assert [(one.version, one.state) for one in status.model_version_status] == [(1, 30)]  # AVAILABLE
    signatures = get_model_metadata_pb2.SignatureDefMap()
    metadata.metadata["signature_def"].Unpack(signatures)
    code, by_rest = over_http(local_server.rest, "GET", "/v1/models/pneumonia")
    assert (code, by_rest["model_version_status"][0]["state"]) == (200, "AVAILABLE")
    code, by_rest = over_http(local_server.rest, "GET", "/v1/models/pneumonia/metadata")
    assert code == 200
    assert set(by_rest["metadata"]["signature_def"]["signature_def"]) == set(signatures.signature_def)
    assert over_http(local_server.rest, "GET", "/v1/models/other")[0] == 404


def test_requests_at_the_same_time_get_their_own_answers(local_server, loaded, encoded_images):
    expected = loaded["serving_default"](image_bytes=tf.constant(encoded_images))["probability"].numpy()
    wrong = []

    def ask(position):
        response = over_grpc(local_server.grpc, [encoded_images[position]])
        probability = response.outputs["probability"].float_val[0]
        if abs(probability - expected[position]) > 1e-5:
            wrong.append(position)

    threads = [threading.Thread(target=ask, args=(position % 12,)) for position in range(48)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_port_in_use_is_the_users_mistake(local_server, models):
    for ports in ({"grpc_port": local_server.grpc}, {"rest_port": local_server.rest}):
        config = LocalConfig(models, **({"grpc_port": 0, "rest_port": 0} | ports))
        with pytest.raises(UserError, match=f"127.0.0.1:{next(iter(ports.values()))}"), serving(config):
            pass


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_without_models_is_the_users_mistake(tmp_path, there):
    folder = tmp_path / "models"
    if there:
        (folder / "pneumonia").mkdir(parents=True)
    with (
        pytest.raises(UserError, match=r"serving\.export"),
        serving(LocalConfig(str(folder), grpc_port=0, rest_port=0)),
    ):
        pass


def test_a_new_version_takes_over_and_a_broken_one_never_does(models, finished_run, encoded_images, tmp_path):
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    with serving(LocalConfig(str(folder), grpc_port=0, rest_port=0)) as ports:
        broken = tmp_path / "broken"
        shutil.copytree(folder / "pneumonia/1", broken)
        (broken / "saved_model.pb").write_bytes((broken / "saved_model.pb").read_bytes()[:1000])
        broken.rename(folder / "pneumonia/2")
        wait_until(lambda: state_of(ports, 2) == "END")
        assert served_version(ports, encoded_images) == 1

        export(finished_run, str(folder))

        wait_until(lambda: served_version(ports, encoded_images) == 3)
        assert state_of(ports, 3) == "AVAILABLE"


def state_of(ports, version) -> str | None:
    status, reply = over_http(ports.rest, "GET", f"/v1/models/pneumonia/versions/{version}")
    return reply["model_version_status"][0]["state"] if status == 200 else None


def served_version(ports, images) -> int:
    return over_grpc(ports.grpc, images[:1]).model_spec.version.value


def wait_until(condition) -> None:
    deadline = time.monotonic() + TAKE_OVER_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
