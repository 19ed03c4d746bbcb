"""docs/serving-contract.md, section 7: how Classify, Regress and MultiInference are refused."""

import pytest
from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2

from tests.serving.contract.wire import failure, rest

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


@pytest.mark.parametrize(
    ("verb", "signature", "message"),
    [
        ("classify", "serving_default", "Expected one or two output Tensors, found 7"),
        ("classify", "gradcam", "Expected one or two output Tensors, found 12"),
        ("classify", "pixels", "No classification inputs found in SignatureDef: "),
        ("regress", "serving_default", "Expected one output Tensor."),
        ("classify", "none", "No signature was found with the name: none"),
        ("regress", "none", "No signature was found with the name: none"),
    ],
)
def test_the_reason_is_the_same_over_rest_and_grpc(local_server, verb, signature, message):
    request = {
        "classify": classification_pb2.ClassificationRequest,
        "regress": regression_pb2.RegressionRequest,
    }[verb]()
    request.model_spec.name, request.model_spec.signature_name = "pneumonia", signature
    body = {"signature_name": signature, "examples": [{"x": 1}]}

    code, details = failure(local_server.grpc, request)
    status, reply = rest(local_server.rest, "POST", f"/v1/models/pneumonia:{verb}", body)

    assert (code, status) == ("INVALID_ARGUMENT", 400)
    assert details.startswith(message)
    assert reply["error"].startswith(message)


@pytest.mark.parametrize(
    "request_of", [classification_pb2.ClassificationRequest, regression_pb2.RegressionRequest]
)
def test_unknown_model_and_no_model_spec(local_server, request_of):
    request = request_of()
    assert failure(local_server.grpc, request) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    request.model_spec.name = "other"
    message = "Servable not found for request: Latest(other)"
    assert failure(local_server.grpc, request) == ("NOT_FOUND", message)


@pytest.mark.parametrize("verb", ["classify", "regress"])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "JSON Value: {} When method is classify, key 'examples' is expected and was not found"),
        ({"examples": 1}, "JSON Value: {\"examples\": 1} Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "JSON Value: {\"examples\": []} 'examples' value is an empty array"),
        ({"examples": [{}, True]}, "Example must be JSON object but got JSON True"),
        ({"context": [], "examples": [{}]}, "Example must be JSON object but got JSON Array"),
    ],
)
def test_examples_must_be_a_list_of_objects(local_server, verb, body, message):
    reply = rest(local_server.rest, "POST", f"/v1/models/pneumonia:{verb}", body)

    assert reply == (400, {"error": message})


@pytest.mark.parametrize(
    ("method", "code", "message"),
    [
        (CLASSIFY, "INVALID_ARGUMENT", "Expected one or two output Tensors, found 7"),
        (REGRESS, "INVALID_ARGUMENT", "Expected one output Tensor."),
        ("other", "UNIMPLEMENTED", "Unsupported signature method_name: other"),
    ],
)
def test_multi_inference(local_server, method, code, message):
    request = inference_pb2.MultiInferenceRequest()
    request.tasks.add(method_name=method).model_spec.name = "pneumonia"

    assert failure(local_server.grpc, request) == (code, message)


@pytest.mark.parametrize("method", [CLASSIFY, REGRESS, "other"])
def test_multi_inference_with_an_unknown_signature(local_server, method):
    request = inference_pb2.MultiInferenceRequest()
    spec = request.tasks.add(method_name=method).model_spec
    spec.name, spec.signature_name = "pneumonia", "none"

    message = "Requested signature not found in model graph: none"
    assert failure(local_server.grpc, request) == ("INVALID_ARGUMENT", message)


def test_multi_inference_without_tasks(local_server):
    code, details = failure(local_server.grpc, inference_pb2.MultiInferenceRequest())

    assert (code, details) == ("INVALID_ARGUMENT", "ModelSpec has no name specified.")
