"""Hostile uploads to a web service in a process of its own: it does not end, leak or stop answering."""

import contextlib
import re
import socket
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import httpx
import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from serving.load.memory import resident_mib
from tests.serving.dicom_kinds import dicom_files
from tests.tfrecords_builder.decoding.dicom_files import as_file, dataset
from tests.tfrecords_builder.decoding.mutations import mutated, with_right_checksums

MAX_SECONDS = 10.0
GROWTH_MIB = 300
"""By so much may the memory of the service grow: what it decodes at the same time, and what malloc keeps."""


@pytest.fixture
def service(local_server):
    """A web service with small limits: its process and its URL."""
    limits = ["--max-files", "100", "--max-megabytes", "20", "--max-seconds", str(MAX_SECONDS)]
    server = ["--transport", "rest", "--address", f"127.0.0.1:{local_server.rest}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.web", *limits, *server, "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    url = re.fullmatch(r"ready: (http://.*)/\n", process.stdout.readline())[1]
    yield process, url
    process.kill()
    process.wait()
    process.stdout.close()


def xray(suffix: str) -> bytes:
    pixels = cv2.GaussianBlur(np.random.default_rng(0).normal(128, 80, (120, 150)), (0, 0), 3)
    return cv2.imencode(suffix, pixels.clip(0, 255).astype(np.uint8))[1].tobytes()


def png_bomb(side: int) -> bytes:
    """A black PNG of so many pixels a side, in about a thousandth of the bytes; it ends after 200 million."""
    rows = zlib.compress(bytes(min((side + 1) * side, 200_000_000)), 1)
    header = side.to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    content = b"".join(len(data).to_bytes(4, "big") + name + data + bytes(4) for name, data in chunks)
    return with_right_checksums(b"\x89PNG\r\n\x1a\n" + content)


def dicom_bomb(num_bytes: int) -> bytes:
    return as_file(dataset(syntax=DeflatedExplicitVRLittleEndian, PixelData=bytes(num_bytes)))


def send_mutated(url: str, count: int) -> int:
    """Sends damaged files from several clients; returns how many were answered as invalid or as images."""
    generator = np.random.default_rng(1)
    originals = [xray(".png"), xray(".jpg"), xray(".bmp"), *dicom_files().values()]
    files = [mutated(originals[number % len(originals)], generator) for number in range(count)]

    def send(number: int) -> bool:
        path = "/v1/explain" if number % 3 else "/v1/predict"
        reply = httpx.post(f"{url}{path}", files={"files": ("a", files[number])}, timeout=60)
        assert reply.status_code == 200, (number, reply.text)
        (answer,) = reply.json()["answers"]
        return answer["valid"] == (answer["probability"] is not None)

    with ThreadPoolExecutor(8) as executor:
        return sum(executor.map(send, range(count)))


def send_many_small(url: str, count: int) -> None:
    many = [("files", (f"{number}", b"x")) for number in range(count)]
    refused = httpx.post(f"{url}/v1/predict", files=many, timeout=60)
    assert (refused.status_code, "at most 100 files" in refused.json()["error"]) == (413, True)
    hundred = httpx.post(f"{url}/v1/predict", files=many[:100], timeout=60).json()["answers"]
    assert [answer["valid"] for answer in hundred] == [False] * 100


def send_slowly(url: str, connections: int) -> None:
    """Bodies that never end, many at the same time: each is given up, and others are answered meanwhile."""
    place = httpx.URL(url)
    with contextlib.ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection((place.host, place.port)))
            for _ in range(connections)
        ]
        for connection in opened:
            connection.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\nx"
            )
        assert httpx.post(f"{url}/v1/predict", content=xray(".png"), timeout=60).status_code == 200
        for connection in opened:
            connection.settimeout(10 * MAX_SECONDS)
            assert connection.recv(100).startswith(b"HTTP/1.1 408")


def send_huge_headers(url: str) -> None:
    place = httpx.URL(url)
    for lines in (b"X: " + b"a" * (1 << 20), b"\r\n".join(b"X%d: a" % number for number in range(100_000))):
        with socket.create_connection((place.host, place.port)) as connection:
            connection.settimeout(30)
            with contextlib.suppress(OSError):  # it may close the connection while it is sent to
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + lines + b"\r\n\r\n")
                reply = connection.recv(100)
                assert not reply or b" 400 " in reply or b" 431 " in reply


def send_bombs(url: str, rounds: int) -> None:
    largest = 8000  # so many pixels a side are still decoded
    bombs = [png_bomb(60_000), png_bomb(largest), dicom_bomb(500_000_000), dicom_bomb(250_000_000)]
    for _ in range(rounds):
        with ThreadPoolExecutor(4) as executor:
            replies = executor.map(
                lambda bomb: httpx.post(f"{url}/v1/explain", files={"files": ("a", bomb)}, timeout=120), bombs
            )
            for reply in replies:
                assert reply.status_code in (200, 504), reply.text


def settled_mib(process: subprocess.Popen) -> float:
    time.sleep(0.5)
    return resident_mib(process.pid)


@pytest.mark.slow
def test_hostile_uploads(service):
    process, url = service
    mutants, small, rounds = 2000, 10_000, 10
    assert send_mutated(url, 100) == 100  # what it needs for work is in its memory now
    before = settled_mib(process)

    answered = send_mutated(url, mutants)
    for _ in range(rounds):
        send_many_small(url, small)
    send_slowly(url, 20)
    send_huge_headers(url)
    send_bombs(url, rounds)

    assert answered == mutants
    assert process.poll() is None
    ready = httpx.get(f"{url}/readyz", timeout=60).json()
    assert ready["ready"]
    assert settled_mib(process) - before < GROWTH_MIB
