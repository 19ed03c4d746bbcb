"""docs/serving-contract.md, sections 3 and 4: status codes, and the same fault over REST and over gRPC."""

import grpc
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from serving.server import json_reply
from serving.server.status import StatusError
from tests.serving.contract.wire import PREDICT, b64, call, failure, predict_request, raw_rest, rest

X = b64(b"x")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("INVALID_ARGUMENT", 400),
        ("FAILED_PRECONDITION", 400),
        ("OUT_OF_RANGE", 400),
        ("NOT_FOUND", 404),
        ("DEADLINE_EXCEEDED", 504),
        ("ALREADY_EXISTS", 409),
        ("ABORTED", 409),
        ("PERMISSION_DENIED", 403),
        ("UNAUTHENTICATED", 401),
        ("RESOURCE_EXHAUSTED", 429),
        ("UNIMPLEMENTED", 501),
        ("UNAVAILABLE", 503),
        ("CANCELLED", 499),
        ("UNKNOWN", 500),
        ("INTERNAL", 500),
        ("DATA_LOSS", 500),
    ],
)
def test_http_status_of_each_status(code, status):
    assert StatusError(grpc.StatusCode[code], "").http_status == status


def test_a_rest_error_is_one_key_untruncated_and_a_grpc_error_is_cut_at_1024(local_server):
    name = "m" * 3000
    message = f"Servable not found for request: Latest({name})"

    status, reply = rest(local_server.rest, "POST", f"/v1/models/{name}:predict", {})
    code, details = failure(local_server.grpc, predict_request([b"x"], name=name))

    assert (status, reply) == (404, {"error": message})
    assert (code, details) == ("NOT_FOUND", f"{message[:1024]}...TRUNCATED")


def test_unknown_model(local_server):
    message = "Servable not found for request: Latest(other)"
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "other"

    predict = rest(local_server.rest, "POST", "/v1/models/other:predict", {"instances": [X]})
    assert predict == (404, {"error": message})
    assert rest(local_server.rest, "GET", "/v1/models/other/metadata") == (404, {"error": message})
    assert failure(local_server.grpc, predict_request([b"x"], name="other")) == ("NOT_FOUND", message)
    assert failure(local_server.grpc, metadata) == ("NOT_FOUND", message)


def test_unknown_version(local_server):
    message = "Servable not found for request: Specific(pneumonia, 99)"
    request = predict_request([b"x"])
    request.model_spec.version.value = 99

    path = "/v1/models/pneumonia/versions/99"
    assert rest(local_server.rest, "POST", f"{path}:predict", {"instances": [X]}) == (404, {"error": message})
    assert rest(local_server.rest, "GET", f"{path}/metadata") == (404, {"error": message})
    assert failure(local_server.grpc, request) == ("NOT_FOUND", message)


@pytest.mark.parametrize("model", ["pneumonia", "other"])
def test_unknown_label_also_on_an_unknown_model(local_server, model):
    message = "Unrecognized servable version label: stable"
    request = predict_request([b"x"], name=model)
    request.model_spec.version_label = "stable"

    path = f"/v1/models/{model}/labels/stable:predict"
    assert rest(local_server.rest, "POST", path, {"instances": [X]}) == (400, {"error": message})
    assert failure(local_server.grpc, request) == ("INVALID_ARGUMENT", message)


def test_status_of_an_unknown_model_or_version(local_server):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "other"
    message = "Could not find any versions of model other"
    assert rest(local_server.rest, "GET", "/v1/models/other") == (404, {"error": message})
    assert failure(local_server.grpc, request) == ("NOT_FOUND", message)

    request.model_spec.name, request.model_spec.version.value = "pneumonia", 99
    message = "Could not find version 99 of model pneumonia"
    assert rest(local_server.rest, "GET", "/v1/models/pneumonia/versions/99") == (404, {"error": message})
    assert failure(local_server.grpc, request) == ("NOT_FOUND", message)


def test_no_model_name(local_server):
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.SetInParent()

    assert rest(local_server.rest, "GET", "/v1/models") == (400, {"error": "Missing model name in request."})
    code, details = failure(local_server.grpc, predict_request([b"x"], name=""))
    assert (code, details) == ("INVALID_ARGUMENT", "ModelSpec has no name specified.")
    assert failure(local_server.grpc, status)[0] == "NOT_FOUND"


@pytest.mark.parametrize(
    "request_of",
    [
        predict_pb2.PredictRequest,
        get_model_status_pb2.GetModelStatusRequest,
        get_model_metadata_pb2.GetModelMetadataRequest,
    ],
)
def test_no_model_spec(local_server, request_of):
    assert failure(local_server.grpc, request_of()) == ("INVALID_ARGUMENT", "Missing ModelSpec")


def test_unknown_signature(local_server):
    body = {"instances": [X], "signature_name": "none"}
    message = 'Serving signature name: "none" not found in signature def'

    assert rest(local_server.rest, "POST", PREDICT, body) == (400, {"error": message})
    code, details = failure(local_server.grpc, predict_request([b"x"], "none"))
    assert (code, details) == ("FAILED_PRECONDITION", 'Serving signature key "none" not found.')


def test_missing_input(local_server):
    status, reply = rest(local_server.rest, "POST", PREDICT, {"instances": [{}]})
    assert status == 400
    assert reply["error"].endswith("keys must be equal to: image_bytes")
    message = "Missing named input: image_bytes in 'inputs' object."
    assert rest(local_server.rest, "POST", PREDICT, {"inputs": {}}) == (400, {"error": message})
    assert failure(local_server.grpc, predict_request()) == (
        "INVALID_ARGUMENT",
        "input size does not match signature: 0!=1 len({}) != len({image_bytes}). "
        "Sent extra: {}. Missing but required: {image_bytes}.",
    )


def test_extra_input_which_columns_ignore(local_server, encoded_images):
    given = {"image_bytes": b64(encoded_images[0]), "x": 1}
    status, reply = rest(local_server.rest, "POST", PREDICT, {"instances": [given]})
    assert (status, reply["error"].endswith("JSON object: does not have named input: x")) == (400, True)
    columns = {"inputs": {"image_bytes": [b64(encoded_images[0])], "x": 1}}
    assert rest(local_server.rest, "POST", PREDICT, columns)[0] == 200
    request = predict_request(encoded_images[:1], x=tf.make_tensor_proto(1))
    code, details = failure(local_server.grpc, request)
    assert (code, "Sent extra: {x}. Missing but required: {}." in details) == ("INVALID_ARGUMENT", True)


def test_misnamed_input(local_server):
    status, reply = rest(local_server.rest, "POST", PREDICT, {"instances": [{"x": X}]})
    assert status == 400
    assert reply["error"].endswith("JSON object: does not have named input: x")
    code, details = failure(local_server.grpc, predict_request(x=tf.make_tensor_proto([b"x"])))
    assert code == "INVALID_ARGUMENT"
    assert details == (
        "Signature input alias: image_bytes(feed name: serving_default_image_bytes:0) not found in request "
        "and no default value provided. Inputs expected to be in the request {x}, "
        "or default input alias set: "
    )


def test_wrong_dtype(local_server):
    status, reply = rest(local_server.rest, "POST", PREDICT, {"instances": [1]})
    assert status == 400
    assert reply["error"].endswith("JSON Value: 1 Type: Number is not of expected type: string")
    floats = predict_request(image_bytes=tf.make_tensor_proto([1.0]))
    assert failure(local_server.grpc, floats) == (
        "INVALID_ARGUMENT",
        "Expects arg[0] to be string but float is provided",
    )


@pytest.mark.parametrize(
    "proto",
    [
        tensor_pb2.TensorProto(),
        tensor_pb2.TensorProto(dtype="DT_STRING", tensor_shape={"dim": [{"size": -1}]}),
        tensor_pb2.TensorProto(dtype="DT_FLOAT", tensor_shape={"dim": [{"size": 2}]}, tensor_content=b"abc"),
        tensor_pb2.TensorProto(
            dtype="DT_STRING", tensor_shape={"dim": [{"size": 1}] * 33}, string_val=[b"x"]
        ),
    ],
    ids=["no type", "negative dimension", "content of another size", "33 dimensions"],
)
def test_unparsable_tensor(local_server, proto):
    request = predict_request(image_bytes=proto)

    assert failure(local_server.grpc, request) == ("INVALID_ARGUMENT", "tensor parsing error: image_bytes")


def test_wrong_rank_and_empty_batch_get_the_words_of_the_operation(local_server, encoded_images):
    scalar = predict_request(image_bytes=tf.make_tensor_proto(encoded_images[0]))
    matrix = predict_request(image_bytes=tf.make_tensor_proto([encoded_images[:2]]))
    deep = predict_request(image_bytes=tf.make_tensor_proto(encoded_images[0], tf.string, [1] * 32))
    empty = predict_request(image_bytes=tf.make_tensor_proto([], tf.string, [0]))

    for request in (scalar, matrix, deep):
        code, details = failure(local_server.grpc, request)
        assert code == "INVALID_ARGUMENT"
        assert "TensorSliceDataset" in details or "must be at least 1-dimensional" in details
    code, details = failure(local_server.grpc, empty)
    assert (code, "image_bytes must hold at least one image" in details) == ("INVALID_ARGUMENT", True)
    status, reply = rest(local_server.rest, "POST", PREDICT, {"inputs": []})
    assert (status, "image_bytes must hold at least one image" in reply["error"]) == (400, True)
    assert rest(local_server.rest, "POST", PREDICT, {"inputs": X})[0] == 400


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{no JSON", "JSON Parse error: "),
        (b"", "JSON Parse error: The document is empty"),
        (b"[1]", "JSON Value: [1] Is not object"),
        (b'{"instances": [{"b64": "?"}]}', "Unable to base64 decode"),
    ],
)
def test_malformed_json_and_base64(local_server, body, message):
    status, reply = rest(local_server.rest, "POST", PREDICT, body)

    assert (status, message in reply["error"]) == (400, True)


def test_wrong_method(local_server):
    with grpc.insecure_channel(f"127.0.0.1:{local_server.grpc}") as channel:
        unknown = channel.unary_unary("/tensorflow.serving.PredictionService/Unknown")
        with pytest.raises(grpc.RpcError) as raised:
            unknown(b"", timeout=30)
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/v1/models/other:predict", b"{", 400, "JSON Parse error"),
        ("/v1/models/other:predict", b"[]", 400, "Is not object"),
        ("/v1/models/other:predict", b'{"signature_name": 1}', 400, "must be a string"),
        ("/v1/models/other:predict", b"{}", 404, "Servable not found"),
        (PREDICT, b'{"signature_name": "none", "instances": 1}', 400, "not found in signature def"),
        (PREDICT, b'{"instances": 1}', 400, "instances"),
    ],
)
def test_order_of_checks_over_rest(local_server, path, body, status, word):
    received, reply = rest(local_server.rest, "POST", path, body)

    assert (received, word in reply["error"]) == (status, True)


def test_order_of_checks_over_grpc(local_server):
    request = predict_request(signature="none", name="other", x=tensor_pb2.TensorProto())
    request.output_filter.append("none")

    assert failure(local_server.grpc, request)[0] == "NOT_FOUND"
    request.model_spec.name = "pneumonia"
    assert failure(local_server.grpc, request)[0] == "FAILED_PRECONDITION"
    request.model_spec.signature_name = ""
    assert "Signature input alias" in failure(local_server.grpc, request)[1]
    request.inputs["y"].CopyFrom(tensor_pb2.TensorProto())
    assert "input size" in failure(local_server.grpc, request)[1]
    request = predict_request(image_bytes=tensor_pb2.TensorProto())
    request.output_filter.append("none")
    assert "tensor parsing error" in failure(local_server.grpc, request)[1]


def test_a_file_that_is_no_image_is_answered_as_invalid(local_server, encoded_images):
    images = [encoded_images[0], b"no image"]

    response = call(local_server.grpc, predict_request(images))
    status, reply = rest(local_server.rest, "POST", PREDICT, {"inputs": [b64(image) for image in images]})

    assert list(response.outputs["valid"].bool_val) == [True, False]
    assert status == 200
    assert (reply["outputs"]["label"][1], reply["outputs"]["probability"][1]) == ("INVALID", -1)


def test_the_server_goes_on_after_an_internal_error(local_server, monkeypatch, encoded_images):
    monkeypatch.setattr(json_reply, "predict_reply", lambda *_, **__: 1 / 0)
    body = {"instances": [b64(encoded_images[0])]}
    status, headers, _ = raw_rest(local_server.rest, "POST", PREDICT, body)
    assert (status, headers["content-type"]) == (500, "application/json")
    monkeypatch.undo()
    assert rest(local_server.rest, "POST", PREDICT, body)[0] == 200
