"""docs/serving-contract.md, section 1: URLs of the REST API."""

import pytest

from tests.serving.contract.wire import PREDICT, b64, raw_rest, rest


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/pneumonia:predict",
        "/v1/models/pneumonia/versions/1:predict",
        "/v1/models/pneumonia/versions/0001:predict",
        "/V1/Models/pneumonia/VERSIONS/1:predict",
        "/v1/models/pneumoni%61:predict",
    ],
)
def test_post_to_a_model_or_a_version_whatever_the_case_of_the_path(local_server, encoded_images, path):
    status, reply = rest(local_server.rest, "POST", path, {"instances": [b64(encoded_images[0])]})

    assert status == 200
    assert reply["predictions"][0]["valid"] is True


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models/pneumonia:PREDICT"),
        ("POST", "/v1/models/pneumonia:predict/"),
        ("POST", "/v1/models/pneumonia:predict?x=1"),
        ("POST", "/v1/models/pneumonia/versions/1/labels/stable:predict"),
        ("POST", "/v1/models/pneumonia/versions/x:predict"),
        ("POST", "/v1/models/pneumonia:explain"),
        ("POST", "/v1/models/pneumonia"),
        ("GET", "/v1/models/pneumonia:predict"),
        ("GET", "/v1/models/pneumonia/"),
        ("GET", "/v1/other"),
        ("PUT", "/v1/models/pneumonia:predict"),
        ("DELETE", "/v1/models/pneumonia"),
        ("PATCH", "/v1/models/pneumonia"),
    ],
)
def test_everything_else_below_v1_and_every_other_method_is_malformed_and_never_405(
    local_server, method, path
):
    status, reply = rest(local_server.rest, method, path, b"{}" if method != "GET" else None)

    assert (status, reply) == (400, {"error": f"Malformed request: {method} {path}"})


def test_head_is_malformed(local_server):
    status, _, body = raw_rest(local_server.rest, "HEAD", "/v1/models/pneumonia")

    assert (status, body) == (400, b"")


def test_a_query_of_a_get_becomes_part_of_the_name(local_server):
    status, reply = rest(local_server.rest, "GET", "/v1/models/pneumonia?x=1")

    assert (status, reply["error"]) == (404, "Could not find any versions of model pneumonia?x=1")


def test_metadata_in_capitals_asks_for_the_status(local_server):
    status, reply = rest(local_server.rest, "GET", "/v1/models/pneumonia/METADATA")

    assert (status, set(reply)) == (200, {"model_version_status"})


def test_a_version_over_int64_cannot_be_converted(local_server):
    too_large = str(1 << 63)
    for method, path in (("GET", f"/v1/models/pneumonia/versions/{too_large}"), ("POST", PREDICT)):
        asked = path.replace(":", f"/versions/{too_large}:")
        status, reply = rest(local_server.rest, method, asked, b"{}" if method == "POST" else None)
        assert (status, reply["error"]) == (400, f"Failed to convert version: {too_large} to numeric.")


def test_outside_v1_is_404_with_a_page_and_the_connection_ends(local_server):
    status, headers, body = raw_rest(local_server.rest, "GET", "/somewhere/else")

    assert status == 404
    assert headers["content-type"].startswith("text/html")
    assert headers["connection"] == "close"
    assert b"<html>" in body.lower()


def test_trace_is_not_implemented(local_server):
    assert raw_rest(local_server.rest, "TRACE", "/v1/models/pneumonia")[0] == 501


@pytest.mark.parametrize(("headers", "expected"), [({"Origin": "http://here"}, 200), ({}, 400)])
def test_options_is_empty_and_depends_on_the_origin(local_server, headers, expected):
    status, received, body = raw_rest(local_server.rest, "OPTIONS", PREDICT, headers=headers)

    assert (status, body) == (expected, b"")
    assert not [name for name in received if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/v1/models/pneumonia", "/v1/models/other"])
def test_every_reply_is_json_without_a_charset(local_server, path):
    assert raw_rest(local_server.rest, "GET", path)[1]["content-type"] == "application/json"


def test_the_content_type_of_a_request_is_never_read(local_server, encoded_images):
    body = {"instances": [b64(encoded_images[0])]}
    status, _ = rest(local_server.rest, "POST", PREDICT, body, {"Content-Type": "image/png; charset=x"})

    assert status == 200
