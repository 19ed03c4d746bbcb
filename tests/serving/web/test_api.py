"""The HTTP API of the web service, over real connections."""

import base64
import logging
import socket
import time

import cv2
import httpx
import numpy as np
import pytest

from pipeline import runs
from serving.client import Client
from serving.client.pictures import draw
from serving.web import replies
from tests.serving.dicom_kinds import NAME, dicom_files

TOKEN = "0123456789abcdef"


def png(seed: int, height: int = 90, width: int = 120) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def form(*files: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", file) for file in files]


@pytest.fixture(scope="module")
def client(local_server):
    with Client(f"127.0.0.1:{local_server.rest}", "rest") as opened:
        yield opened


def test_the_answers_are_those_of_the_client_in_the_order_of_the_files(web, client):
    files = [(f"{seed}.png", png(seed)) for seed in range(5)]

    reply = web.post("/v1/predict", files=form(*files))

    answers = replies.Predictions.model_validate(reply.json()).answers
    assert [answer.file for answer in answers] == [name for name, _ in files]
    expected = client.predict([content for _, content in files])
    for answer, known in zip(answers, expected, strict=True):
        assert answer.probability == pytest.approx(known.probability, abs=1e-6)
        assert (answer.label, answer.threshold, answer.version) == (known.label, known.threshold, 1)
        assert answer.valid


def test_what_is_no_image_does_not_affect_the_others(web):
    files = form(("notes.txt", b"no image"), ("a.png", png(1)), ("empty.png", b""))

    for path in ("/v1/predict", "/v1/explain"):
        first, second, third = web.post(path, files=files).json()["answers"]

        assert (first["valid"], first["probability"], first["label"]) == (False, None, "INVALID")
        assert "not a JPEG, PNG, BMP" in first["reason"]
        assert second["valid"]
        assert not third["valid"]


def test_a_body_without_a_form_is_one_file(web):
    (answer,) = web.post("/v1/predict", content=png(3)).json()["answers"]

    assert answer["valid"]
    assert (
        answer["probability"]
        == web.post("/v1/predict", files=form(("a", png(3)))).json()["answers"][0]["probability"]
    )


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain"])
def test_the_answer_about_dicom_is_that_about_the_built_record(web, finished_run, path):
    files, run = dicom_files(), runs.load(finished_run)
    built = np.stack([run.preprocessing.apply(encoded) for encoded in files.values()])[..., None]
    expected = run.model.predict_on_batch(built)[:, 0]

    reply = web.post(path, files=form(*files.items()))

    answers = reply.json()["answers"]
    assert all(answer["valid"] for answer in answers)
    np.testing.assert_allclose([answer["probability"] for answer in answers], expected, atol=1e-5)
    assert NAME not in reply.text


def decoded(layer: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(layer), np.uint8), cv2.IMREAD_UNCHANGED)


def test_the_layers_of_an_explanation(web, client):
    content = png(7, 700, 2100)
    (answer,) = web.post("/v1/explain", files=form(("wide.png", content))).json()["answers"]
    (known,) = client.explain([content])

    assert decoded(answer["layers"]["xray_jpeg"]).shape == (341, 1024)
    heat = decoded(answer["layers"]["heat_png"])
    np.testing.assert_allclose(heat[..., 3], 255 * known.heatmap, atol=0.51)
    lungs = decoded(answer["layers"]["lungs_png"])
    assert 0 < (lungs[..., 3] > 0).mean() < 0.1
    assert answer["evidence"] == pytest.approx(known.evidence, rel=1e-4)
    assert answer["region"] == pytest.approx(known.region)


def test_the_overlay_is_that_of_the_client(web, client):
    content = png(8, 600, 640)

    reply = web.post("/v1/overlay", content=content)

    assert reply.headers["content-type"] == "image/png"
    assert reply.content == draw(content, client.explain([content])[0])
    refused = web.post("/v1/overlay", content=b"no image")
    assert (refused.status_code, "there is no overlay" in refused.json()["error"]) == (400, True)


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        ({}, 400, "no X-ray was sent"),
        ({"data": {"x": "1"}, "files": {"other": b"1"}}, 400, "the form has no file in a part named 'files'"),
        ({"files": [("files", ("a", b"1"))] * 4}, 413, "at most 3 files"),
        ({"content": bytes((1 << 20) + 1)}, 413, "at most 1 MiB"),
        ({"content": iter([bytes(1 << 19)] * 3)}, 413, "at most 1 MiB"),
        (
            {"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=a"}},
            400,
            "the form cannot be read",
        ),
    ],
    ids=["nothing", "other field", "too many", "too large", "too large, size unknown", "damaged"],
)
def test_bad_requests_are_refused_in_one_line(start_web, arguments, status, error):
    url = start_web(max_files=3, max_megabytes=1)

    reply = httpx.post(f"{url}/v1/predict", **arguments)

    assert reply.status_code == status
    assert error in reply.json()["error"]
    assert httpx.get(f"{url}/healthz").json() == {"alive": True}


def test_a_slow_body_is_not_waited_for(start_web):
    url = httpx.URL(start_web(max_seconds=0.3))
    with socket.create_connection((url.host, url.port)) as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx")
        connection.settimeout(10)
        reply = connection.recv(4096)

    assert reply.startswith(b"HTTP/1.1 408")


def test_without_the_token_nothing_is_answered(start_web):
    url = start_web(TOKEN)

    def status(**headers) -> int:
        return httpx.post(f"{url}/v1/predict", content=png(1), headers=headers).status_code

    assert status() == 401
    assert status(authorization=f"Bearer {TOKEN}x") == 401
    assert status(authorization=f"Basic {TOKEN}") == 401
    assert status(authorization=f"Bearer {TOKEN}") == 200
    wrong = httpx.get(f"{url}/v1/allowed", headers={"authorization": "Bearer x"})
    assert (wrong.status_code, "not the token of this service" in wrong.json()["error"]) == (401, True)
    assert httpx.get(f"{url}/v1/allowed", headers={"authorization": f"Bearer {TOKEN}"}).json()["allowed"]
    for open_path in ("/", "/healthz", "/readyz", "/page/page.js"):
        assert httpx.get(f"{url}{open_path}").status_code == 200


def test_a_page_of_another_site_cannot_use_it_under_its_own_name(web):
    assert web.get("/readyz", headers={"host": "evil.example"}).status_code == 421
    assert web.get("/readyz", headers={"host": "localhost:1"}).status_code == 200


def test_every_answer_forbids_scripts_of_others(web):
    for path in ("/", "/page/page.js", "/readyz", "/nothing"):
        headers = web.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_the_api_describes_itself_without_other_sites(web):
    described = web.get("/openapi.json").json()

    assert {"/v1/predict", "/v1/explain", "/v1/overlay", "/healthz", "/readyz"} <= set(described["paths"])
    assert "Answer" in described["components"]["schemas"]
    assert "not a medical device" in described["info"]["description"]
    documentation = web.get("/docs").text
    assert "https://" not in documentation
    for file in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert web.get(f"/static-offline-docs/{file}").status_code == 200


def test_file_names_are_not_logged(web, caplog):
    with caplog.at_level(logging.DEBUG):
        web.post("/v1/explain", files=form(("DOE_JANE.png", png(1)), ("DOE_JOHN.txt", b"no image")))

    assert "DOE" not in caplog.text


def test_the_model_server_may_be_away(start_web, unused_port):
    url = start_web(address=f"127.0.0.1:{unused_port}")
    begin = time.monotonic()

    ready = httpx.get(f"{url}/readyz")
    refused = httpx.post(f"{url}/v1/predict", content=png(1))

    assert (ready.status_code, refused.status_code) == (503, 503)
    assert (ready.json()["ready"], "no server at" in ready.json()["reason"]) == (False, True)
    assert "no server at" in refused.json()["error"]
    assert httpx.get(f"{url}/healthz").status_code == 200
    assert time.monotonic() - begin < 20, "a server that was never there is not waited for"
