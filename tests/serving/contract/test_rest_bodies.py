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


OF_ROW_0 = "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
OF_ROW_1 = "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"signature_name": None, "instances": ["x"]},
            'JSON Value: {"signature_name": null, "instances": ["x"]} not formatted correctly. '
            "'signature_name' key must be a string value.",
        ),
        (
            {"instances": ["x"], "inputs": ["x"]},
            'JSON Value: {"instances": ["x"], "inputs": ["x"]} Not formatted correctly expecting only one '
            "of 'inputs' or 'instances' keys to exist ",
        ),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"instances": {}}, "JSON Value: {\"instances\": {}} Expecting 'instances' to be an list/array"),
        ({"instances": "x"}, 'JSON Value: {"instances": "x"} Expecting \'instances\' to be an list/array'),
        ({"instances": []}, "JSON Value: {\"instances\": []} No values in 'instances' array"),
        ({"instances": [{"image_bytes": "x"}, "x"]}, "Expecting object but got list at item 1 of input list"),
        (
            {"instances": [{"image_bytes": "x"}, ["x"]]},
            "Expecting object but got list at item 1 of input list",
        ),
        (
            {"instances": [{"image_bytes": "x"}, {"b64": "eA=="}]},
            "Expecting object but got list at item 1 of input list",
        ),
        (
            {"instances": ["x", {"image_bytes": "x"}]},
            "Expecting value/list but got object at item 1 of input list",
        ),
        ({"instances": [None]}, f"{OF_ROW_0}JSON Value: null Type: Null is not of expected type: string"),
        ({"instances": [True]}, f"{OF_ROW_0}JSON Value: true Type: True is not of expected type: string"),
        ({"instances": [False]}, f"{OF_ROW_0}JSON Value: false Type: False is not of expected type: string"),
        (
            {"instances": ["x", 1.5]},
            f"{OF_ROW_1}JSON Value: 1.5 Type: Number is not of expected type: string",
        ),
        ({"inputs": [True]}, "JSON Value: true Type: True is not of expected type: string"),
        ({"inputs": [{"a": 1}]}, 'JSON Value: {"a": 1} not formatted correctly for base64 data'),
        ({"instances": [{"b64": "?"}]}, f"{OF_ROW_0}Unable to base64 decode"),
        ({"inputs": {"b64": "?"}}, "Unable to base64 decode"),
        (
            {"instances": ["x", ["x", "x"]]},
            f"{OF_ROW_1}Expecting tensor size: 1 but got: 2",
        ),
        ({"instances": ["x", ["x"]]}, f"{OF_ROW_1}Expecting shape [] but got: [1]"),
        (
            {"instances": [[["x"], ["x"]], [["x", "x"]]]},
            f"{OF_ROW_1}Expecting shape [2,1] but got: [1,2]",
        ),
        (
            {"instances": [[["x"], "y"]]},
            f'{OF_ROW_0}JSON Value: "y" found at incorrect level: 2 in the JSON DOM. Expected at level: 2',
        ),
        (
            {"inputs": [["x"], "y"]},
            'JSON Value: "y" found at incorrect level: 2 in the JSON DOM. Expected at level: 2',
        ),
        ({"inputs": ["x", ["y"]]}, "Encountered list at unexpected level: 1 expected < 1"),
        (
            {"inputs": [["x"], ["y", "z"]]},
            "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
        ),
        (
            {"inputs": [[], ["y"]]},
            "Encountered list at unexpected size: 1 at level: 1 expected size: 0",
        ),
        (
            {"instances": [{"x": "x"}]},
            "Failed to process element: 0 key: x of 'instances' list. "
            "Error: INVALID_ARGUMENT: JSON object: does not have named input: x",
        ),
        (
            {"instances": [{"image_bytes": "x"}, {"image_bytes": True}]},
            "Failed to process element: 1 key: image_bytes of 'instances' list. "
            "Error: INVALID_ARGUMENT: JSON Value: true Type: True is not of expected type: string",
        ),
        (
            {"instances": [{"image_bytes": "x", "x": 1}]},
            "Failed to process element: 0 key: x of 'instances' list. "
            "Error: INVALID_ARGUMENT: JSON object: does not have named input: x",
        ),
        (
            {"instances": [{"image_bytes": 1, "x": 1}]},
            "Failed to process element: 0 key: image_bytes of 'instances' list. "
            "Error: INVALID_ARGUMENT: JSON Value: 1 Type: Number is not of expected type: string",
        ),
        (
            {"instances": [{}]},
            "Failed to process element: 0 of 'instances' list. JSON object: {} "
            "keys must be equal to: image_bytes",
        ),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_wrong_body_is_refused_in_tensorflow_servings_words(local_server, body, message):
    assert error_of(local_server.rest, body) == message


@pytest.mark.parametrize("depth", [30, 31, 32, 64, 65, 500, 100_000])
@pytest.mark.parametrize("form", ['{"instances": %s}', '{"inputs": %s}', '{"signature_name": %s}', "%s"])
def test_deep_lists_are_refused_like_any_wrong_body(local_server, form, depth):
    assert error_of(local_server.rest, (form % ("[" * depth + "]" * depth)).encode())


def test_rows_are_values_or_objects_with_exactly_the_names(local_server, encoded_images):
    image = b64(encoded_images[0])
    bare = rest(local_server.rest, "POST", PREDICT, {"instances": [image]})
    named = rest(local_server.rest, "POST", PREDICT, {"instances": [{"image_bytes": image}]})

    assert bare == named
    assert bare[0] == 200


def test_columns_are_a_bare_value_or_an_object_of_tensors(local_server, encoded_images):
    images = [b64(image) for image in encoded_images[:2]]
    bare = rest(local_server.rest, "POST", PREDICT, {"inputs": images})
    named = rest(local_server.rest, "POST", PREDICT, {"inputs": {"image_bytes": images}})

    assert bare == named
    assert bare[0] == 200


def test_b64_is_bytes_only_as_the_single_key_with_a_string(local_server):
    message = error_of(local_server.rest, {"instances": [{"b64": 1}]})
    assert message.endswith("does not have named input: b64")
    message = error_of(local_server.rest, {"instances": [{"b64": "eA==", "x": 1}]})
    assert message.endswith("does not have named input: b64")


@pytest.mark.parametrize("text", ["eHh4eA==", "eHh4eA", "eH h4\neA==", "eHh4eA.."])
def test_base64_skips_white_space_and_padding_is_optional(local_server, text):
    status, reply = rest(local_server.rest, "POST", PREDICT, {"instances": [{"b64": text}]})

    assert (status, reply["predictions"][0]["label"]) == (200, "INVALID")


@pytest.mark.parametrize("text", ["eHh4eA=", "eHh4e", "-_-_", "eHh4eA===="])
def test_base64_of_another_alphabet_or_with_inexact_padding_is_refused(local_server, text):
    message = error_of(local_server.rest, {"instances": [{"b64": text}]})

    assert message == f"{OF_ROW_0}Unable to base64 decode"


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
    names = {"probability", "label", "threshold", "valid", "lung_area", "familiarity", "warning"}

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
