"""Overlays over the original image, from a real server's answers."""

import cv2
import numpy as np
import pytest

from serving.client import Client
from serving.client.answers import Explanation
from serving.client.pictures import draw


@pytest.fixture(scope="module")
def client(local_server):
    with Client(f"127.0.0.1:{local_server.rest}", "rest") as opened:
        yield opened


@pytest.fixture
def xray() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (700, 900), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def picture_of(content: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_the_heat_lies_over_the_original_at_its_own_size(client, xray, tmp_path):
    file = tmp_path / "xray.png"
    file.write_bytes(png(xray))
    (answer,) = client.explain([file])

    picture = picture_of(draw(file, answer))

    assert picture.shape[1] == 900
    assert picture.shape[0] > 700
    drawn = picture[-700:]
    top, left = int(700 * answer.region[0]), int(900 * answer.region[1])
    assert top > 0
    np.testing.assert_array_equal(drawn[: top - 1, :, 0], xray[: top - 1])
    inside = drawn[top:-top, left:-left].astype(int)
    assert (np.ptp(inside, axis=-1) > 20).any(), "heat has colors"
    assert np.array_equal(draw(file.read_bytes(), answer), draw(file, answer))


def test_without_a_region_or_a_file_the_servers_own_picture_is_given(client, xray, tmp_path):
    (answer,) = client.explain([png(xray)])
    fields = {name: value for name, value in vars(answer).items() if name != "region"}
    of_earlier_export = Explanation(**fields)

    assert draw(png(xray), of_earlier_export) == answer.overlay
    assert draw(tmp_path / "gone.png", answer) == answer.overlay
    assert draw(b"no image", Explanation.invalid("it is none")) == b""


def test_the_answer_tells_threshold_and_version(client, xray):
    (predicted,), (explained,) = client.predict([png(xray)]), client.explain([png(xray)])

    assert predicted.version == explained.version == 1
    assert predicted.threshold == explained.threshold
    assert (predicted.label == "PNEUMONIA") == (predicted.probability >= predicted.threshold)
    assert explained.lungs.shape == (16, 16)
