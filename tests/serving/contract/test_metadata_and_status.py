"""docs/serving-contract.md, section 8: metadata, status, and the model that a reply names."""

import pytest
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from tests.serving.contract.wire import call, failure, predict_request, rest


@pytest.fixture
def metadata_request():
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "pneumonia"
    return request


def test_a_metadata_field_must_be_given_and_known(local_server, metadata_request):
    metadata_request.metadata_field.append("other")
    message = "Metadata field other is not supported"
    assert failure(local_server.grpc, metadata_request) == ("INVALID_ARGUMENT", message)
    metadata_request.ClearField("metadata_field")
    message = "GetModelMetadataRequest must specify at least one metadata_field"
    assert failure(local_server.grpc, metadata_request) == ("INVALID_ARGUMENT", message)


def test_metadata_has_all_signatures_in_one_any(local_server, metadata_request, models):
    with open(f"{models}/pneumonia/1/saved_model.pb", "rb") as file:  # noqa: PTH123 - a string
        saved = saved_model_pb2.SavedModel.FromString(file.read())

    response = call(local_server.grpc, metadata_request)

    assert (response.model_spec.name, response.model_spec.version.value) == ("pneumonia", 1)
    assert response.model_spec.signature_name == ""
    (packed,) = response.metadata.values()
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    signatures = get_model_metadata_pb2.SignatureDefMap()
    packed.Unpack(signatures)
    assert dict(signatures.signature_def) == dict(saved.meta_graphs[0].signature_def)
    assert "__saved_model_init_op" in signatures.signature_def


def test_metadata_over_rest(local_server):
    status, reply = rest(local_server.rest, "GET", "/v1/models/pneumonia/versions/1/metadata")

    assert status == 200
    assert reply["model_spec"] == {"name": "pneumonia", "signature_name": "", "version": "1"}
    signature = reply["metadata"]["signature_def"]["signature_def"]["serving_default"]
    image = signature["inputs"]["image_bytes"]
    assert image["dtype"] == "DT_STRING"
    assert image["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert signature["defaults"] == {}


def test_status_over_rest_and_grpc(local_server):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "pneumonia"
    response = call(local_server.grpc, request)

    assert [(one.version, one.state) for one in response.model_version_status] == [(1, 30)]
    assert rest(local_server.rest, "GET", "/v1/models/pneumonia") == (
        200,
        {
            "model_version_status": [
                {
                    "version": "1",
                    "state": "AVAILABLE",
                    "status": {"error_code": "OK", "error_message": ""},
                }
            ]
        },
    )


def test_status_ignores_the_label(local_server):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name, request.model_spec.version_label = "pneumonia", "unknown"

    assert len(call(local_server.grpc, request).model_version_status) == 1
    assert rest(local_server.rest, "GET", "/v1/models/pneumonia/labels/unknown")[0] == 200


@pytest.mark.parametrize(("asked", "told"), [("", "serving_default"), ("gradcam", "gradcam")])
def test_an_answer_names_the_model_version_and_signature_that_were_used(
    local_server, encoded_images, asked, told
):
    spec = call(local_server.grpc, predict_request(encoded_images[:1], asked)).model_spec

    assert (spec.name, spec.version.value, spec.signature_name) == ("pneumonia", 1, told)
    assert spec.version_label == ""


def test_version_zero_is_a_version_and_not_the_latest(local_server):
    request = predict_request([b"x"])
    request.model_spec.version.SetInParent()

    message = "Servable not found for request: Specific(pneumonia, 0)"
    assert failure(local_server.grpc, request) == ("NOT_FOUND", message)
