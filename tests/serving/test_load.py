"""The load generator, against a real server."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter

import cv2
import numpy as np
import pytest

from serving.load import __main__ as load
from serving.load import explanation, report
from serving.load.__main__ import LoadConfig
from serving.load.clients import Answers, run_clients
from serving.load.explanation import ExplanationConfig
from serving.load.images import draw_images, read_folder
from serving.load.memory import memory_readings, resident_mib
from serving.load.report import summary
from serving.load.sizes import Size
from serving.load.without_server import explanation_cost
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


@pytest.fixture
def models_with_padded_version(models, tmp_path) -> str:
    """A folder of models whose only version is the folder 0002."""
    shutil.copytree(f"{models}/pneumonia/1", tmp_path / "models/pneumonia/0002")
    return str(tmp_path / "models")


def test_it_compares_with_the_model_without_a_server(local_server, models_with_padded_version, capsys):
    config = LoadConfig(
        address=address(local_server, "grpc"),
        clients=2,
        seconds=0.5,
        sizes=SMALL,
        export=models_with_padded_version,
        bare_seconds=0.2,
        bare_batch_size=4,
    )

    assert load.main(config) == 0
    assert "share of the images per second without a server" in capsys.readouterr().out


def test_rest_needs_no_tensorflow(local_server):
    options = ["--transport", "rest", "--address", address(local_server, "rest"), "--seconds", "0.2"]
    code = (
        "import sys; from serving.load.__main__ import LoadConfig, main\n"
        "from tfrecords_builder.cli.command import parse\n"
        f"assert main(parse(LoadConfig, '', {[*options, '--clients', '2', '--sizes', *SMALL]})) == 0\n"
        "assert 'tensorflow' not in sys.modules and 'tensorflow_serving' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_an_explanation_has_a_cost(models):
    images = draw_images([Size.parse(size) for size in SMALL])

    cost = explanation_cost(newest_version(models), images[:4], repeats=1)

    assert min(cost.prediction, cost.explanation, cost.with_overlays) > 0
    assert cost.ratio == cost.explanation / cost.prediction


@pytest.mark.slow
def test_the_cost_of_explanations_is_printed(models_with_padded_version, capsys):
    explanation.main(ExplanationConfig(models_with_padded_version, batch_size=2, repeats=1, sizes=SMALL))

    lines = capsys.readouterr().out.splitlines()
    assert any("prediction" in line and "1.00" in line for line in lines)


def test_a_missing_server_is_the_users_mistake():
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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("load.json", b"mine"),
        ("load.json", b'{"settings": {"theme": "dark"}}'),
        ("load.png", cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()),
    ],
)
def test_a_report_overwrites_no_file_of_others(local_server, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    config = LoadConfig(
        address=address(local_server, "rest"), transport="rest", output=str(tmp_path / "load.json")
    )

    with pytest.raises(UserError, match=f"{name}' exists and is not a"):
        load.main(config)

    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize("name", ["load.json", "load", "load.png"])
def test_a_report_replaces_an_earlier_one(tmp_path, name):
    answers = Answers(2.0, np.array([0.1, 0.2]), np.arange(2.0), Counter())
    path = str(tmp_path / name)
    for clients in (1, 2):
        report.refuse_foreign_files(path)
        report.write(path, {"transport": "grpc", "clients": clients}, summary(answers, 1, None), answers)

    assert json.loads((tmp_path / name).read_text())["settings"]["clients"] == 2
    (picture,) = set(tmp_path.iterdir()) - {tmp_path / name}
    assert cv2.imread(str(picture)) is not None


@pytest.mark.parametrize(("transport", "other"), [("grpc", "rest"), ("rest", "grpc")])
def test_the_port_of_the_other_api(local_server, transport, other):
    config = LoadConfig(address=address(local_server, other), transport=transport, sizes=SMALL, deadline=5)

    with pytest.raises(UserError, match=f"choose --transport {other}, or the port of the other API"):
        load.main(config)


def test_the_address_of_a_rest_api_may_be_a_url(local_server, capsys):
    url = f"http://{address(local_server, 'rest')}/"
    options = {"clients": 1, "seconds": 0.1, "sizes": SMALL}
    assert load.main(LoadConfig(address=url, transport="rest", **options)) == 0
    assert "as soon as it is answered" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("transport", "wrong", "said"),
    [
        ("grpc", "http://127.0.0.1:8501", "a URL needs --transport rest"),
        ("rest", "ftp://127.0.0.1:8501", "must be HOST:PORT or an http:// URL"),
        ("rest", "127.0.0.1:99999", "must be HOST:PORT or an http:// URL"),
        ("rest", "http://nowhere.invalid:8501", "UNKNOWN_HOST; check that it is running"),
    ],
)
def test_a_wrong_address_is_the_users_mistake(transport, wrong, said):
    with pytest.raises(UserError, match=said):
        load.main(LoadConfig(address=wrong, transport=transport, sizes=SMALL, deadline=2.0))


def test_a_proxy_is_not_used_to_call_this_machine(local_server, monkeypatch):
    for name in ("grpc_proxy", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for transport in ("grpc", "rest"):
        config = LoadConfig(
            address=address(local_server, transport), transport=transport, clients=1, seconds=0.1, sizes=SMALL
        )
        assert load.main(config) == 0


def test_figures():
    answers = Answers(2.0, np.array([0.1, 0.2, 0.3, 0.4]), np.arange(4.0), Counter({"503": 2}))

    figures = summary(answers, images_per_request=8, rate_without_server=32.0)

    assert figures["images_per_second"] == 16.0
    assert figures["of_bare"] == 0.5
    assert (figures["errors"], figures["p50_ms"]) == (2, 250.0)


def test_images_have_the_sizes_asked_for():
    images = draw_images([Size(96, 80, 3), Size(50, 40, 1)])
    shapes = [cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED).shape for file in images[:8]]

    assert shapes == ([(80, 96)] * 3 + [(40, 50)]) * 2


def test_images_of_a_folder(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a.JPEG").write_bytes(b"a")
    (tmp_path / "b.png").write_bytes(b"b")
    (tmp_path / "notes.txt").write_bytes(b"c")

    assert sorted(read_folder(str(tmp_path))) == [b"a", b"b"]


def test_a_pipe_in_a_folder_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UserError, match=r"pipe\.png': not a file"):
        read_folder(str(tmp_path))


@pytest.mark.parametrize("folder", ["absent", "empty"])
def test_a_folder_without_images(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no JPEG, PNG, BMP or GIF file"):
        read_folder(str(tmp_path / folder))


@pytest.mark.parametrize("size", ["", "10x", "4x4", "100x100:0", "1e3x3"])
@pytest.mark.parametrize("config", [LoadConfig, lambda sizes: ExplanationConfig("models", sizes=sizes)])
def test_text_that_is_not_a_size(config, size):
    with pytest.raises(ValueError, match="WIDTHxHEIGHT"):
        config(sizes=(size,))


@pytest.mark.parametrize(
    "setting", ["clients", "batch_size", "bare_batch_size", "seconds", "rate", "deadline"]
)
def test_settings_that_send_nothing(setting):
    with pytest.raises(ValueError, match=f"{setting} must be .* Received: 0"):
        LoadConfig(**{setting: 0})


def test_memory_of_this_process():
    with memory_readings(os.getpid()) as readings:
        pass

    assert len(readings) == 2
    assert all(mib > 1 for _, mib in readings)


def test_memory_of_a_process_that_does_not_exist():
    with pytest.raises(UserError, match="process"):
        resident_mib(1 << 30)
