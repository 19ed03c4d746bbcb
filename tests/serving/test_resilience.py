"""Versions are published under load, servers are stopped under load, and image files are damaged."""

import dataclasses
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import cv2
import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from serving.load.connections import GrpcConnection, HttpConnection, grpc_requests, rest_requests
from serving.server.assembly import running_server
from serving.server.batching import Batching
from serving.server.grpc_services import PredictionService
from serving.server.rest_routes import RestRoutes
from serving.server.settings import ServerSettings
from tests.serving.contract.wire import PREDICT, b64, call, predict_request, rest, states
from tests.serving.damage import BAD_IMAGES, mutated

BATCHING = Path(__file__).parents[2] / "serving/config/batching-cpu.config"
SECONDS = 120


@dataclasses.dataclass
class Load:
    """Clients that send until they are told to stop."""

    outcomes: Counter = dataclasses.field(default_factory=Counter)
    pause: float = 0.0
    """Seconds between an answer and the next request of the same client."""

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, ports, images, clients=6) -> None:
        for number in range(clients):
            if number % 3 == 2:
                connection = HttpConnection(f"127.0.0.1:{ports.rest}", SECONDS, PREDICT)
                requests = rest_requests([[image] for image in images], "serving_default")
            else:
                connection = GrpcConnection(f"127.0.0.1:{ports.grpc}", SECONDS)
                requests = grpc_requests([[image] for image in images], "pneumonia", "serving_default")
            thread = threading.Thread(target=self._send, args=(connection, requests))
            thread.start()
            self._threads.append(thread)

    def stop(self) -> Counter:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        return self.outcomes

    def _send(self, connection, requests) -> None:
        position = 0
        while not self._ended.is_set():
            self.outcomes[connection.send(requests[position % len(requests)])] += 1
            position += 1
            time.sleep(self.pause)
        connection.close()


def until(condition) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def publish(version, base, number) -> None:
    shutil.copytree(version, base / "unfinished")
    (base / "unfinished").rename(base / str(number))


@pytest.fixture
def base(exported_models, tmp_path) -> Path:
    shutil.copytree(exported_models, tmp_path / "models")
    return tmp_path / "models/pneumonia"


@pytest.fixture(scope="module")
def broken(exported_models, tmp_path_factory) -> dict[str, Path]:
    """Versions that cannot answer: truncated, with another signature, or with weights that are not finite."""
    folder = tmp_path_factory.mktemp("broken")
    names = ("truncated graph", "truncated weights", "another signature", "weights that are not finite")
    versions = {name: folder / name for name in names}
    for version in versions.values():
        shutil.copytree(Path(exported_models) / "pneumonia/1", version)
    _truncate(versions["truncated graph"] / "saved_model.pb")
    _truncate(next((versions["truncated weights"] / "variables").glob("*.data*")))
    _change_signature(versions["another signature"] / "saved_model.pb")
    _fill_with_nan(versions["weights that are not finite"] / "variables/variables")
    return versions


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _change_signature(file: Path) -> None:
    """Gives the default signature the inputs and outputs of the signature for preprocessed images."""
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    signatures = saved.meta_graphs[0].signature_def
    signatures["serving_default"].CopyFrom(signatures["pixels"])
    file.write_bytes(saved.SerializeToString())


def _fill_with_nan(prefix: Path) -> None:
    """Replaces the weights of a SavedModel, and leaves its other variables."""
    reader = tf.train.load_checkpoint(str(prefix))
    names = sorted(reader.get_variable_to_shape_map())
    values = [reader.get_tensor(name) for name in names]
    values = [
        np.full_like(value, np.nan) if getattr(value, "dtype", None) == np.float32 else value
        for value in values
    ]
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=values
    )


@pytest.mark.parametrize("batching", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_broken_version_never_takes_over_and_fails_no_request(base, broken, encoded_images, batching):
    load = Load(pause=0.02)  # else the clients take most of the time that loading the versions needs
    config = ServerSettings(
        str(base.parent),
        grpc_port=0,
        rest_port=0,
        file_system_poll_wait_seconds=0.05,
        max_num_load_retries=0,
        enable_batching=batching,
    )
    with running_server(config) as ports:
        load.start(ports, encoded_images, clients=3)
        for number, version in enumerate(broken.values(), start=2):
            publish(version, base, number)
            until(lambda number=number: states(ports.rest).get(number) == "END")
            spec = call(ports.grpc, predict_request(encoded_images[:1])).model_spec
            assert spec.version.value == 1
        outcomes = load.stop()
        assert states(ports.rest)[1] == "AVAILABLE"
    assert set(outcomes) == {None}


@pytest.mark.slow
def test_20_versions_published_under_load_take_over_without_a_failed_request(base, encoded_images):
    config = ServerSettings(
        str(base.parent),
        grpc_port=0,
        rest_port=0,
        file_system_poll_wait_seconds=0.1,
        enable_batching=True,
        batching_parameters_file=str(BATCHING),
    )
    load = Load()
    memory = []
    with running_server(config) as ports:
        load.start(ports, encoded_images)
        for number in range(2, 22):
            publish(base / "1", base, number)
            until(lambda number=number: states(ports.rest).get(number) == "AVAILABLE")
            spec = call(ports.grpc, predict_request(encoded_images[:1])).model_spec
            assert spec.version.value == number
            until(lambda number=number: states(ports.rest).get(number - 1) == "END")
            memory.append(_resident_mib())
        outcomes = load.stop()
    assert set(outcomes) == {None}
    # The allocator keeps some memory. Twenty graphs that are not freed would take several hundred MiB.
    assert memory[-1] - memory[4] < 100, memory


def _resident_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@dataclasses.dataclass
class Asked:
    """The requests that clients sent until the server was gone, and what became of them."""

    answered: list = dataclasses.field(default_factory=list)
    refused: list = dataclasses.field(default_factory=list)
    """Moment and reason of each request that the server refused. A client ends after its first."""
    lost: list = dataclasses.field(default_factory=list)
    """Requests that were accepted and not answered."""

    def over_grpc(self, port, images) -> None:
        request = predict_request(images).SerializeToString()
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            while True:
                try:
                    predict(request, timeout=SECONDS)
                    self.answered.append("grpc")
                except grpc.RpcError as error:
                    gone = error.code() == grpc.StatusCode.UNAVAILABLE
                    (self.refused if gone else self.lost).append((time.monotonic(), error.details()))
                    return

    def over_rest(self, port, images) -> None:
        body = {"inputs": [b64(image) for image in images]}
        while True:
            try:
                status, _ = rest(port, "POST", "/v1/models/pneumonia:predict", body)
            except OSError as error:  # no connection any more
                self.refused.append((time.monotonic(), str(error)))
                return
            (self.answered if status == 200 else self.lost).append("rest")


@pytest.mark.parametrize("batching", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_sigterm_under_load_answers_every_accepted_request(exported_models, encoded_images, batching):
    command = [sys.executable, "-m", "serving.local", exported_models, "--grpc-port", "0", "--rest-port", "0"]
    if batching:
        command += ["--enable-batching", "--batching-parameters-file", str(BATCHING)]
    asked = Asked()
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        grpc_port, rest_port = _ports(server.stdout.readline())
        threads = [
            threading.Thread(target=target, args=(port, encoded_images))
            for target, port in [(asked.over_grpc, grpc_port)] * 8 + [(asked.over_rest, rest_port)] * 4
        ]
        for thread in threads:
            thread.start()
        until(lambda: {"grpc", "rest"} <= set(asked.answered))
        stopped = time.monotonic()
        server.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert server.wait(timeout=SECONDS) == 0
    finally:
        server.kill()
        server.stdout.close()
    assert not asked.lost
    assert len(asked.refused) == len(threads)
    assert all(moment >= stopped for moment, _ in asked.refused)


@pytest.mark.parametrize("batching", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_server_that_stops_answers_every_request_that_reached_it(
    exported_models, encoded_images, batching, monkeypatch
):
    reached, lock = Counter(), threading.Lock()

    def counted(api, method):
        def count_and_answer(*arguments):
            with lock:
                reached[api] += 1
            return method(*arguments)

        return count_and_answer

    monkeypatch.setattr(PredictionService, "_predict", counted("grpc", PredictionService._predict))
    monkeypatch.setattr(RestRoutes, "_post", counted("rest", RestRoutes._post))
    config = ServerSettings(
        exported_models,
        grpc_port=0,
        rest_port=0,
        enable_batching=batching,
        batching_parameters_file=str(BATCHING) if batching else None,
    )
    asked = Asked()
    with running_server(config) as ports:
        threads = [
            threading.Thread(target=target, args=(port, encoded_images))
            for target, port in [(asked.over_grpc, ports.grpc)] * 8 + [(asked.over_rest, ports.rest)] * 4
        ]
        for thread in threads:
            thread.start()
        until(lambda: {"grpc", "rest"} <= set(asked.answered))
    for thread in threads:
        thread.join()

    assert not asked.lost
    assert reached == Counter(asked.answered)


def _ports(ready: str) -> tuple[int, int]:
    parts = ready.split()  # ready: gRPC HOST:PORT, REST http://HOST:PORT/v1/models
    return int(parts[2].rstrip(",").rpartition(":")[2]), int(parts[4].split(":")[2].partition("/")[0])


@pytest.fixture(scope="module")
def batching_server(models):
    config = ServerSettings(
        models, grpc_port=0, rest_port=0, enable_batching=True, batching_parameters_file=str(BATCHING)
    )
    with running_server(config) as ports:
        yield ports


def test_32_images_of_which_some_are_bad_in_one_batch_of_the_server(batching_server, encoded_images):
    places = (0, 7, 13, 20, 24, 28, 31)
    images = [encoded_images[position % 12] for position in range(32 - len(places))]
    for place, bad in zip(places, BAD_IMAGES.values(), strict=True):
        images.insert(place, bad)
    alone = [call(batching_server.grpc, predict_request([image])) for image in images]
    together: list = [None] * 32

    def ask(place):
        together[place] = call(batching_server.grpc, predict_request([images[place]]))

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for place, (one, among_others) in enumerate(zip(alone, together, strict=True)):
        assert list(one.outputs["valid"].bool_val) == [place not in places]
        for name in ("valid", "label"):
            assert one.outputs[name] == among_others.outputs[name]
        expected = one.outputs["probability"].float_val[0]
        assert among_others.outputs["probability"].float_val[0] == pytest.approx(expected, abs=1e-5)


def test_2000_mutated_images_through_the_batching_server(batching_server, encoded_images):
    files = [*encoded_images[:4], cv2.imencode(".jpg", np.full((300, 400), 90, np.uint8))[1].tobytes()]
    variants = mutated(files, count=2000, seed=1)
    size = Batching.read(str(BATCHING)).max_batch_size
    answered = []

    def ask(batches):
        for batch in batches:
            response = call(batching_server.grpc, predict_request(batch))
            answered.extend(response.outputs["probability"].float_val)

    def ask_for(images):
        batches = [images[at : at + size] for at in range(0, len(images), size)]
        threads = [threading.Thread(target=ask, args=(batches[first::4],)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return _resident_mib()

    memory = [ask_for(variants[:1000]), ask_for(variants[1000:])]

    assert len(answered) == 2000
    assert np.isfinite(answered).all()
    assert memory[1] - memory[0] < 50, memory  # a leak for each image would add as much again
