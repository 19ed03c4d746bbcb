"""The load generator, against a real server."""

import json
from collections import Counter

import cv2
import numpy as np
import pytest

from serving.load import __main__ as load
from serving.load import bare, images
from serving.load.__main__ import LoadConfig
from serving.load.clients import Answers, run_clients
from serving.load.memory import resident_mib
from serving.load.report import summary
from serving.version_folders import newest_version
from tfrecords_builder.errors import UserError

SMALL = ("96x80:1", "120x100:1")


def address(ports, transport) -> str:
    return f"127.0.0.1:{getattr(ports, transport)}"


@pytest.mark.parametrize("transport", ["grpc", "rest"])
@pytest.mark.parametrize("rate", [None, 20.0])
def test_every_request_is_answered_and_reported(local_server, tmp_path, capsys, transport, rate):
    config = LoadConfig(
        address=address(local_server, transport),
        transport=transport,
        clients=3,
        seconds=1.0,
        rate=rate,
        batch_size=2,
        sizes=SMALL,
        output=str(tmp_path / "load.json"),
    )

    assert load.main(config) == 0

    figures = json.loads((tmp_path / "load.json").read_text())["figures"]
    assert figures["errors"] == 0
    assert figures["requests"] > 0
    assert figures["p50_ms"] <= figures["p90_ms"] <= figures["p99_ms"]
    assert cv2.imread(str(tmp_path / "load.png")) is not None
    assert "images per second" in capsys.readouterr().out


def test_it_compares_with_the_bare_function(local_server, models, capsys):
    config = LoadConfig(
        address=address(local_server, "grpc"),
        clients=2,
        seconds=0.5,
        sizes=SMALL,
        export=models,
        bare_seconds=0.2,
        bare_batch_size=4,
    )

    assert load.main(config) == 0
    assert "of bare" in capsys.readouterr().out


def test_an_explanation_has_a_cost(models):
    files = images.drawn([images.Size.parse(size) for size in SMALL])

    cost = bare.explanation_cost(newest_version(models), files[:4], repeats=1)

    assert min(cost.prediction, cost.explanation, cost.with_overlays) > 0
    assert cost.ratio == cost.explanation / cost.prediction


def test_no_server_is_the_users_mistake():
    with pytest.raises(UserError, match=r"127\.0\.0\.1:1 "):
        load.main(LoadConfig(address="127.0.0.1:1", sizes=SMALL, deadline=5.0))


def test_errors_are_counted_by_kind():
    class Failing:
        def __init__(self) -> None:
            self.sent = 0

        def send(self, request):
            self.sent += 1
            return None if self.sent % 2 else "UNAVAILABLE"

        def close(self):
            pass

    answers = run_clients(Failing, [b""], clients=2, seconds=0.05)

    assert set(answers.errors) == {"UNAVAILABLE"}
    assert len(answers.latencies) > 0


def test_the_latency_of_an_open_loop_counts_from_when_a_request_was_due():
    import time

    class Slow:
        def send(self, request):
            time.sleep(0.05)

        def close(self):
            pass

    answers = run_clients(Slow, [b""], clients=1, seconds=0.5, rate=100.0)

    assert answers.latencies.max() > 0.5  # 50 requests were due, and each takes 0.05 s


def test_figures():
    answers = Answers(2.0, np.array([0.1, 0.2, 0.3, 0.4]), np.arange(4.0), Counter({"503": 2}))

    figures = summary(answers, images_per_request=8, bare=32.0)

    assert figures["images_per_second"] == 16.0
    assert figures["of_bare"] == 0.5
    assert (figures["errors"], figures["p50_ms"]) == (2, 250.0)


def test_images_are_of_the_sizes_asked_for():
    files = images.drawn([images.Size(96, 80, 3), images.Size(50, 40, 1)])
    shapes = [cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED).shape for file in files[:8]]

    assert shapes == ([(80, 96)] * 3 + [(40, 50)]) * 2


@pytest.mark.parametrize("size", ["", "10x", "4x4", "100x100:0", "1e3x3"])
def test_a_size_that_is_none(size):
    with pytest.raises(ValueError, match="WIDTHxHEIGHT"):
        LoadConfig(sizes=(size,))


def test_memory_of_a_process_that_is_not_there():
    with pytest.raises(UserError, match="process"):
        resident_mib(1 << 30)
