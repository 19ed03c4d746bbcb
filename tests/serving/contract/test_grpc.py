"""docs/serving-contract.md, section 9: gRPC."""

import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow.core.framework import tensor_pb2

from serving.server.assembly import running_server
from serving.server.settings import ServerSettings
from tests.serving.contract.wire import call, failure, predict_request, stubs


@pytest.mark.parametrize("signature", ["", "serving_default", "gradcam"])
def test_predict_answers_as_the_saved_model_in_typed_fields(
    local_server, signatures, encoded_images, signature
):
    expected = signatures[signature or "serving_default"](image_bytes=tf.constant(encoded_images))

    response = call(local_server.grpc, predict_request(encoded_images, signature))

    assert set(response.outputs) == set(expected)
    for name, tensor in response.outputs.items():
        assert not tensor.tensor_content
        values = tf.make_ndarray(tensor)
        if values.dtype == object:
            assert values.tolist() == expected[name].numpy().tolist()
        else:
            np.testing.assert_allclose(values, expected[name], atol=1e-6)


def test_predict_pixels(local_server, signatures, images):
    expected = signatures["pixels"](image=tf.constant(images))
    request = predict_request(signature="pixels", image=tf.make_tensor_proto(images))

    response = call(local_server.grpc, request)

    np.testing.assert_allclose(response.outputs["probability"].float_val, expected["probability"], atol=1e-6)


def test_the_readiness_probe_of_tensorflow_serving(local_server):
    assert "Servable" in failure(local_server.grpc, predict_request([b"x"], name="does_not_exist"))[1]


def test_messages_larger_than_the_default_of_grpc(local_server, encoded_images):
    request = predict_request([encoded_images[0], bytes(8 << 20)])

    assert list(call(local_server.grpc, request).outputs["valid"].bool_val) == [True, False]


@pytest.mark.parametrize(
    ("proto", "valid"),
    [
        (lambda image: {"tensor_shape": {"dim": [{"size": 2}]}, "string_val": [image]}, [True, True]),
        (lambda image: {"tensor_shape": {"dim": [{"size": 1}]}, "string_val": [image, b""]}, [True]),
        (lambda image: {"tensor_shape": {"dim": [{"size": 2}]}}, [False, False]),
    ],
    ids=["fewer values: the last again", "more: cut", "none: empty"],
)
def test_tensors_with_another_number_of_values_than_their_shape(local_server, encoded_images, proto, valid):
    tensor = tensor_pb2.TensorProto(dtype="DT_STRING", **proto(encoded_images[0]))

    response = call(local_server.grpc, predict_request(image_bytes=tensor))

    assert list(response.outputs["valid"].bool_val) == valid


def test_an_unknown_rank_is_a_scalar(local_server, encoded_images):
    tensor = tensor_pb2.TensorProto(
        dtype="DT_STRING", tensor_shape={"unknown_rank": True}, string_val=encoded_images[:1]
    )

    code, details = failure(local_server.grpc, predict_request(image_bytes=tensor))
    assert (code, "at least 1-dimensional" in details) == ("INVALID_ARGUMENT", True)


def test_tensor_content(local_server, signatures, images):
    expected = signatures["pixels"](image=tf.constant(images))["probability"]
    content = tensor_pb2.TensorProto(dtype="DT_UINT8", tensor_content=images.tobytes())
    for size in images.shape:
        content.tensor_shape.dim.add(size=size)

    response = call(local_server.grpc, predict_request(signature="pixels", image=content))

    np.testing.assert_allclose(response.outputs["probability"].float_val, expected, atol=1e-6)


def test_output_filter(local_server, encoded_images):
    request = predict_request(encoded_images[:2], "gradcam")
    request.output_filter.extend(["heatmap", "valid"])
    assert set(call(local_server.grpc, request).outputs) == {"heatmap", "valid"}

    request.output_filter.append("valid")
    message = "duplicate output tensor alias: valid"
    assert failure(local_server.grpc, request) == ("INVALID_ARGUMENT", message)
    request.output_filter[:] = ["none"]
    code, details = failure(local_server.grpc, request)
    assert code == "INVALID_ARGUMENT"
    assert details == (
        "output tensor alias not found in signature: none Outputs expected to be in the set "
        "{evidence,familiarity,heatmap,label,lung_area,lungs,overlay_bytes,probability,region,threshold,"
        "valid,warning}."
    )


def test_a_deadline_that_passes(local_server, encoded_images):
    with stubs(local_server.grpc) as (predictions, _), pytest.raises(grpc.RpcError) as raised:
        predictions.Predict(predict_request(encoded_images * 40, "gradcam"), timeout=0.02)
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def health_of(port, name):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=30).status


def test_the_health_service_is_off_by_default_and_has_three_names(local_server, models):
    with pytest.raises(grpc.RpcError) as raised:
        health_of(local_server.grpc, "")
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
    config = ServerSettings(models, grpc_port=0, rest_port=0, enable_grpc_healthcheck_service=True)
    with running_server(config) as ports:
        for name in ("", "ModelService", "PredictionService"):
            assert health_of(ports.grpc, name) == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as raised:
            health_of(ports.grpc, "tensorflow.serving.PredictionService")
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND


def test_requests_at_the_same_time_get_their_own_answers(local_server, signatures, encoded_images):
    expected = signatures["serving_default"](image_bytes=tf.constant(encoded_images))["probability"].numpy()
    wrong = []

    def ask(position):
        response = call(local_server.grpc, predict_request([encoded_images[position]]))
        if abs(response.outputs["probability"].float_val[0] - expected[position]) > 1e-5:
            wrong.append(position)

    threads = [threading.Thread(target=ask, args=(position % 12,)) for position in range(48)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
