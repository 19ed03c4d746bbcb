"""Sends requests over raw gRPC and raw HTTP, so that tests see what is on the wire without our own client."""

import base64
import contextlib
import http.client
import json
import socket
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

MODEL = "pneumonia"
PREDICT = f"/v1/models/{MODEL}:predict"
SECONDS = 60


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


def rest(port, method, path, body: Any = None, headers=None) -> tuple[int, Any]:
    """Status and parsed body."""
    status, _, content = raw_rest(port, method, path, body, headers)
    return status, json.loads(content)


def raw_rest(port, method, path, body: Any = None, headers=None) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    with contextlib.closing(connection):
        encoded = body if isinstance(body, bytes | None) else json.dumps(body)
        connection.request(method, path, encoded, headers or {})
        response = connection.getresponse()
        lowered = {name.lower(): value for name, value in response.getheaders()}
        return response.status, lowered, response.read()


def over_socket(port, request: bytes, until: bytes) -> bytes:
    """Sends bytes and reads until others are there, or the connection ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        connection.sendall(request)
        received = b""
        while until not in received:
            part = connection.recv(1 << 16)
            if not part:
                break
            received += part
        return received


@contextlib.contextmanager
def stubs(port):
    """The stubs of PredictionService and ModelService."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        yield (
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
        )


def predict_request(images=(), signature="", name=MODEL, **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(value)
    if images:
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(images, tf.string, [len(images)]))
    return request


METHODS = {
    predict_pb2.PredictRequest: (0, "Predict"),
    classification_pb2.ClassificationRequest: (0, "Classify"),
    regression_pb2.RegressionRequest: (0, "Regress"),
    inference_pb2.MultiInferenceRequest: (0, "MultiInference"),
    get_model_metadata_pb2.GetModelMetadataRequest: (0, "GetModelMetadata"),
    get_model_status_pb2.GetModelStatusRequest: (1, "GetModelStatus"),
    model_management_pb2.ReloadConfigRequest: (1, "HandleReloadConfigRequest"),
}


def call(port, request):
    service, method = METHODS[type(request)]
    with stubs(port) as both:
        return getattr(both[service], method)(request, timeout=SECONDS)


def failure(port, request) -> tuple[str, str]:
    """Code and details of a call that must fail."""
    try:
        answer = call(port, request)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError(f"answered: {answer}")


def states(port, model=MODEL) -> dict[int, str]:
    """State by version, in the order in which they are listed."""
    status, reply = rest(port, "GET", f"/v1/models/{model}")
    if status != 200:
        return {}
    return {int(one["version"]): one["state"] for one in reply["model_version_status"]}
