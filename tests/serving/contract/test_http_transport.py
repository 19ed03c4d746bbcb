"""docs/serving-contract.md, section 2: HTTP below the REST API."""

import gzip
import http.client
import json
import os

import pytest

from tests.serving.contract.wire import PREDICT, b64, over_socket, raw_rest, rest


def test_connections_are_kept_also_after_json_errors(local_server):
    connection = http.client.HTTPConnection("127.0.0.1", local_server.rest)
    sockets = set()
    for path, status in (("/v1/models/other", 404), (PREDICT, 400), ("/v1/models/pneumonia", 200)):
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == status
        assert int(response.getheader("Content-Length")) == len(response.read())
        sockets.add(connection.sock)
    connection.close()
    assert len(sockets) == 1


def test_chunked_bodies(local_server, encoded_images):
    body = json.dumps({"inputs": [b64(encoded_images[0])]}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", local_server.rest)
    connection.request("POST", PREDICT, iter([body[:7], body[7:]]), encode_chunked=True)
    response = connection.getresponse()

    assert (response.status, json.loads(response.read())["outputs"]["valid"]) == (200, [True])
    connection.close()


@pytest.mark.parametrize(("expect", "status"), [("100-continue", b"100"), ("something-else", b"417")])
def test_expect(local_server, expect, status):
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: {expect}\r\n\r\n"

    assert over_socket(local_server.rest, head.encode(), b"\r\n").split()[1] == status


def test_a_large_body_is_never_413(local_server, encoded_images):
    images = [encoded_images[0], os.urandom(12 << 20)]
    status, reply = rest(local_server.rest, "POST", PREDICT, {"inputs": [b64(image) for image in images]})

    assert (status, reply["outputs"]["valid"]) == (200, [True, False])


def test_no_length_and_not_chunked_is_an_empty_body(local_server):
    request = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    assert b"The document is empty" in over_socket(local_server.rest, request, b"}")


def test_a_gzip_body_is_inflated(local_server, encoded_images):
    body = gzip.compress(json.dumps({"inputs": [b64(encoded_images[0])]}).encode())
    status, _ = rest(local_server.rest, "POST", PREDICT, body, {"Content-Encoding": "x-gzip"})

    assert status == 200


# The ids do not contain the bytes, which hold the time of day: workers of pytest-xdist need the same ids.
@pytest.mark.parametrize(
    "body",
    [b"no gzip", gzip.compress(b"{}")[:-3], gzip.compress(bytes(101 << 20), 1)],
    ids=["no gzip", "cut off", "over 100 MB"],
)
def test_a_broken_gzip_body_and_one_over_100_mb_count_as_empty(local_server, body):
    status, reply = rest(local_server.rest, "POST", PREDICT, body, {"Content-Encoding": "gzip"})

    assert (status, reply["error"]) == (400, "JSON Parse error: The document is empty")


def test_replies_are_never_compressed(local_server):
    _, headers, body = raw_rest(
        local_server.rest, "GET", "/v1/models/pneumonia", headers={"Accept-Encoding": "gzip"}
    )

    assert "content-encoding" not in headers
    assert json.loads(body)
