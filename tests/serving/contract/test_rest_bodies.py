"""docs/serving-contract.md, sections 5 and 6: the JSON of predict requests and of their replies."""

import base64
import json

import numpy as np
import pytest
import tensorflow as tf

from serving.server.json_reply import predict_reply
from serving.server.status import StatusError
from tests.serving.contract.wire import PREDICT, b64, raw_rest, rest


def error_of(port, body) -> str:
    status, reply = rest(port, "POST", PREDICT, body)
    assert status == 400
    return reply["error"]


@pytest.mark.parametrize("signature", ["serving_default", "gradcam"])
def test_rows_and_columns_answer_as_the_saved_model(local_server, signatures, encoded_images, signature):
    expected = signatures[signature](image_bytes=tf.constant(encoded_images))
    common = {"signature_name": signature}
    images = [b64(image) for image in encoded_images]

    status, by_row = rest(local_server.rest, "POST", PREDICT, common | {"instances": images})
    assert status == 200
    status, by_column = rest(local_server.rest, "POST", PREDICT, common | {"inputs": images})
    assert status == 200

    probabilities = expected["probability"].numpy()
    assert [row["probability"] for row in by_row["predictions"]] == pytest.approx(probabilities, abs=1e-6)
    assert by_column["outputs"]["probability"] == pytest.approx(probabilities, abs=1e-6)
    assert by_column["outputs"]["label"] == [label.decode() for label in expected["label"].numpy()]
    if signature == "gradcam":
        pictures = [base64.b64decode(row["overlay_bytes"]["b64"]) for row in by_row["predictions"]]
        assert pictures == expected["overlay_bytes"].numpy().tolist()
        np.testing.assert_allclose(by_column["outputs"]["heatmap"], expected["heatmap"], atol=1e-5)


def test_rows_of_pixels(local_server, signatures, images):
    expected = signatures["pixels"](image=tf.constant(images[:2]))["probability"].numpy()
    body = {"signature_name": "pixels", "instances": images[:2].tolist()}

    status, reply = rest(local_server.rest, "POST", PREDICT, body)

    assert status == 200
    assert [row["probability"] for row in reply["predictions"]] == pytest.approx(expected, abs=1e-6)


def test_the_signature_name_must_be_a_string(local_server):
    assert "must be a string" in error_of(local_server.rest, {"signature_name": None, "instances": ["x"]})


@pytest.mark.parametrize("body", [{}, {"instances": ["x"], "inputs": ["x"]}])
def test_exactly_one_of_instances_and_inputs(local_server, body):
    assert "instances" in error_of(local_server.rest, body)


def test_rows_are_values_or_objects_with_exactly_the_names(local_server, encoded_images):
    image = b64(encoded_images[0])
    bare = rest(local_server.rest, "POST", PREDICT, {"instances": [image]})
    named = rest(local_server.rest, "POST", PREDICT, {"instances": [{"image_bytes": image}]})

    assert bare == named
    assert bare[0] == 200
    assert error_of(local_server.rest, {"instances": []}) == "No values in 'instances' array."


def test_rows_must_be_alike_and_the_error_names_the_first_that_is_not(local_server):
    message = error_of(local_server.rest, {"instances": ["x", ["x"]]})
    assert message.startswith("Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: ")
    message = error_of(local_server.rest, {"instances": [{"image_bytes": "x"}, {"image_bytes": 1}]})
    assert message.startswith("Failed to process element: 1 key: image_bytes of 'instances' list.")


def test_columns_are_a_bare_value_or_an_object_of_tensors(local_server, encoded_images):
    images = [b64(image) for image in encoded_images[:2]]
    bare = rest(local_server.rest, "POST", PREDICT, {"inputs": images})
    named = rest(local_server.rest, "POST", PREDICT, {"inputs": {"image_bytes": images}})

    assert bare == named
    assert bare[0] == 200


def test_b64_is_bytes_only_as_the_single_key_with_a_string(local_server):
    message = error_of(local_server.rest, {"instances": [{"b64": 1}]})
    assert message.endswith("does not have named input: b64")
    assert "keys must be equal to" in error_of(local_server.rest, {"instances": [{"b64": "eA==", "x": 1}]})


@pytest.mark.parametrize("text", ["eHh4eA==", "eHh4eA", "eH h4\neA==", "eHh4eA.."])
def test_base64_skips_white_space_and_padding_is_optional(local_server, text):
    status, reply = rest(local_server.rest, "POST", PREDICT, {"instances": [{"b64": text}]})

    assert (status, reply["predictions"][0]["label"]) == (200, "INVALID")


@pytest.mark.parametrize("text", ["eHh4eA=", "eHh4e", "-_-_", "eHh4eA===="])
def test_base64_of_another_alphabet_or_with_inexact_padding_is_refused(local_server, text):
    message = error_of(local_server.rest, {"instances": [{"b64": text}]})

    assert "Unable to base64 decode" in message


def test_a_plain_string_is_its_utf8_bytes(local_server):
    for body in ({"instances": ["\u00e9"]}, {"inputs": ["\u00e9"]}):
        status, reply = rest(local_server.rest, "POST", PREDICT, body)
        assert status == 200
        assert "INVALID" in json.dumps(reply)


def test_json_is_parsed_as_rapidjson_parses_it(local_server, encoded_images):
    image = json.dumps(b64(encoded_images[0])).encode()
    wanted = b'{"instances": [%s]}' % image
    for body in (
        wanted + b" anything",
        b"\xef\xbb\xbf" + wanted,
        b'{"instances": [%s], "instances": 1}' % image,
        b'{"a": [NaN, Infinity, -Infinity], "instances": [%s]}' % image,
        b'{"Inf \\" Inf": [Inf, -Inf,Inf], "instances": [%s]}' % image,
        b'{"instances": [%s, "\xff\xfe"]}' % image,
    ):
        status, reply = rest(local_server.rest, "POST", PREDICT, body)
        assert status == 200, body[:60]
        assert reply["predictions"][0]["valid"] is True
    for body in (wanted[:-2] + b",]}", b"/* */ " + wanted, b'{"a": Info, "b": "Inf', b'{"a": [Inf, Info]}'):
        assert "JSON Parse error" in error_of(local_server.rest, body)


def test_quoted_json_is_cut(local_server):
    assert len(error_of(local_server.rest, [1] * 10_000)) < 400


def test_several_outputs_are_objects_by_row_and_one_object_by_column(local_server, encoded_images):
    image = b64(encoded_images[0])
    names = {"probability", "label", "valid"}

    _, by_row = rest(local_server.rest, "POST", PREDICT, {"instances": [image]})
    _, by_column = rest(local_server.rest, "POST", PREDICT, {"inputs": [image]})

    assert [set(row) for row in by_row["predictions"]] == [names]
    assert {name: len(values) for name, values in by_column["outputs"].items()} == dict.fromkeys(names, 1)


def test_one_output_is_unnamed():
    values = {"y": np.array([[1, 2]], np.int64)}

    assert json.loads(predict_reply(values, rows=True)) == {"predictions": [[1, 2]]}
    assert json.loads(predict_reply(values, rows=False)) == {"outputs": [[1, 2]]}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (np.zeros(3, np.float32), "Tensor name: b has inconsistent batch size: 3 expecting: 2"),
        (np.float32(0) * np.ones(()), "Tensor name: b has no shape information "),
    ],
)
def test_rows_need_one_batch_size(other, message):
    with pytest.raises(StatusError) as raised:
        predict_reply({"a": np.zeros(2, np.float32), "b": np.asarray(other)}, rows=True)
    assert raised.value.message == message


def test_zero_rows():
    assert json.loads(predict_reply({"a": np.zeros(0, np.float32)}, rows=True)) == {"predictions": []}


def test_strings_are_base64_by_the_name_of_the_output_and_else_raw():
    values = np.array([b"\xff\n"], object)

    assert b'{"b64": "/wo="}' in predict_reply({"a_bytes": values}, rows=False)
    assert b'["\xff\\n"]' in predict_reply({"a": values}, rows=False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1.0, "1.0"),
        (1e-7, "1e-07"),
        (1 / 3, "0.333333343"),
        (-1.0, "-1.0"),
        (np.nan, "NaN"),
        (np.inf, "Infinity"),
        (-np.inf, "-Infinity"),
    ],
)
def test_floats_are_written_as_by_printf(value, text):
    reply = predict_reply({"a": np.array([value], np.float32)}, rows=False)

    assert reply == b'{"outputs": [%s]}' % text.encode()


def test_a_double_that_needs_17_digits():
    assert b"[0.33333333333333331]" in predict_reply({"a": np.array([1 / 3])}, rows=False)


def test_half_cannot_be_written():
    with pytest.raises(StatusError, match="Failed to write JSON value for tensor type: half"):
        predict_reply({"a": np.zeros(1, np.float16)}, rows=False)


def test_replies_are_valid_utf8(local_server, encoded_images):
    body = {"signature_name": "gradcam", "instances": [b64(encoded_images[0])]}

    assert raw_rest(local_server.rest, "POST", PREDICT, body)[2].decode("utf-8")
