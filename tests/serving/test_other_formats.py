"""Files of formats that are not read, and files that claim to be huge, sent to the local server."""

import io
import resource
import struct

import numpy as np
import pytest
from PIL import Image

from serving.client import Client
from tests.serving.contract.wire import PREDICT, b64, call, predict_request, rest

_MAX_GROWTH = 400 << 10  # KiB; decoded, one of the huge images takes twice as much


def saved_as(file_format: str, **options) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48), dtype=np.uint8)
    Image.fromarray(pixels).convert(options.pop("mode", "L")).save(file, file_format, **options)
    return file.getvalue()


def huge_webp() -> bytes:
    """A small WebP file whose header claims 16383x16383 pixels, the most that the format allows."""
    small = saved_as("WEBP", mode="RGB")
    size_at = small.index(b"\x9d\x01\x2a") + 3  # of the frame's start code (RFC 6386, section 9.1)
    return small[:size_at] + struct.pack("<HH", 16383, 16383) + small[size_at + 4 :]


def huge_png(side: int) -> bytes:
    small = bytearray(saved_as("PNG"))
    small[16:24] = struct.pack(">II", side, side)
    return bytes(small)


def dicom() -> bytes:
    return bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00\x00\x00\x00\x00" + bytes(500)


OTHERS = {
    "WebP": saved_as("WEBP"),
    "lossless WebP": saved_as("WEBP", lossless=True),
    "huge WebP": huge_webp(),
    "TIFF": saved_as("TIFF"),
    "big-endian TIFF": b"MM\0*" + saved_as("TIFF")[4:],
    "JPEG 2000": saved_as("JPEG2000"),
    "PPM": saved_as("PPM"),
    "ICO": saved_as("ICO"),
    "TGA": saved_as("TGA"),
    "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0" + bytes(200),
    "HEIF": b"\0\0\0\x18ftypheic\0\0\0\0" + bytes(200),
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg' width='99999' height='99999'/>",
    "PDF": b"%PDF-1.7\n" + bytes(200),
    "ZIP": b"PK\x03\x04" + bytes(200),
    "DICOM": dicom(),
    "huge PNG": huge_png(60_000),
    "PNG just above the limit": huge_png(8193),
}


@pytest.fixture(scope="module")
def peak_memory() -> int:
    """Peak memory of this process before the requests, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def assert_only_the_good_ones_are_valid(valid, labels, probabilities) -> None:
    expected = [True, *[False] * len(OTHERS), True]
    assert [bool(one) for one in valid] == expected
    for is_valid, label, probability in zip(expected, labels, probabilities, strict=True):
        assert (label in {"NORMAL", "PNEUMONIA"}) == is_valid
        assert (0 <= probability <= 1) if is_valid else probability == -1


@pytest.mark.parametrize("signature", ["serving_default", "gradcam"])
def test_they_are_invalid_and_their_neighbours_are_answered(
    local_server, encoded_images, peak_memory, signature
):
    batch = [encoded_images[0], *OTHERS.values(), encoded_images[1]]

    outputs = call(local_server.grpc, predict_request(batch, signature)).outputs
    body = {"signature_name": signature, "inputs": [b64(image) for image in batch]}
    status, reply = rest(local_server.rest, "POST", PREDICT, body)

    labels = [label.decode() for label in outputs["label"].string_val]
    assert_only_the_good_ones_are_valid(outputs["valid"].bool_val, labels, outputs["probability"].float_val)
    assert status == 200
    columns = reply["outputs"]
    assert_only_the_good_ones_are_valid(columns["valid"], columns["label"], columns["probability"])
    alone = call(local_server.grpc, predict_request(batch[:1], signature)).outputs["probability"].float_val
    assert outputs["probability"].float_val[0] == pytest.approx(alone[0], abs=1e-6)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_memory
    assert grown < _MAX_GROWTH


def test_eight_huge_files_at_a_time(local_server, peak_memory):
    outputs = call(local_server.grpc, predict_request([huge_webp()] * 8 + [huge_png(60_000)] * 8)).outputs

    assert not any(outputs["valid"].bool_val)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_memory < _MAX_GROWTH


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_the_client_says_why_it_does_not_send_them(local_server, encoded_images, monkeypatch, transport):
    with Client(f"127.0.0.1:{getattr(local_server, transport)}", transport) as client:
        first, *others, last = client.predict([encoded_images[0], *OTHERS.values(), encoded_images[1]])
        sent = []
        monkeypatch.setattr(client._transport, "call", lambda *arguments: sent.append(arguments))
        client.predict(OTHERS.values())

    assert first.valid
    assert last.valid
    assert sent == []
    for kind, answer in zip(OTHERS, others, strict=True):
        assert (answer.valid, answer.label, answer.probability) == (False, "INVALID", -1.0)
        assert answer.reason, kind
    for kind in ("WebP", "TIFF", "JPEG 2000", "DICOM"):
        assert kind in others[list(OTHERS).index(kind)].reason
    for kind in ("huge PNG", "PNG just above the limit"):
        assert "more than the limit of 67108864" in others[list(OTHERS).index(kind)].reason
