"""A small server of both APIs over real sockets. It computes its answers from the bytes of the images."""

import base64
import contextlib
import hashlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

SIDE = 24
UNDECODABLE = b"broken inside"  # the server answers INVALID about an image with these bytes

Fault = str  # "busy", "exhausted", "cancelled", "reset", "slow", "refuse", "fail"
FaultOfRequest = Callable[[int], Fault | None]


def probability_of(encoded: bytes) -> float:
    """The probability that the server answers: a number between 0 and 1 that only this image has."""
    return int.from_bytes(hashlib.sha256(encoded).digest()[:4], "big") / 2**32


def heatmap_of(encoded: bytes) -> np.ndarray:
    generator = np.random.default_rng(int.from_bytes(hashlib.sha256(encoded).digest()[:4], "big"))
    return generator.random((SIDE, SIDE), dtype=np.float32)


def overlay_of(encoded: bytes) -> bytes:
    return cv2.imencode(".png", (255 * heatmap_of(encoded)).astype(np.uint8))[1].tobytes()


class Refusal(Exception):
    def __init__(self, http: int, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.http, self.code = http, code


class Model:
    """The model behind both APIs: it answers, and fails when it is told to."""

    def __init__(self) -> None:
        self.name = "pneumonia"
        self.versions = {1: None, 2: "stable"}
        self.fault_of: FaultOfRequest = lambda number: None
        self.state = "AVAILABLE"
        self.slowness = 0.2  # seconds
        self.requests: list[tuple[str, str, int]] = []  # signature, version, images
        self.at_the_same_time = 0
        self.max_at_the_same_time = 0
        self._lock = threading.Lock()

    def answer(self, name: str, version: str, signature: str, images: list[bytes]) -> dict[str, list]:
        with self._lock:
            number = len(self.requests)
            self.requests.append((signature, version, len(images)))
            self.at_the_same_time += 1
            self.max_at_the_same_time = max(self.max_at_the_same_time, self.at_the_same_time)
        try:
            self._maybe_fail(number)
            self._check_model(name, version)
            return self._outputs(signature, images)
        finally:
            with self._lock:
                self.at_the_same_time -= 1

    def _maybe_fail(self, number: int) -> None:
        match self.fault_of(number):
            case "busy":
                raise Refusal(503, grpc.StatusCode.UNAVAILABLE, "no capacity")
            case "exhausted":
                raise Refusal(429, grpc.StatusCode.RESOURCE_EXHAUSTED, "queue is full")
            case "cancelled":  # the code for requests that a server had begun when it stopped
                raise Refusal(503, grpc.StatusCode.CANCELLED, "CANCELLED")
            case "refuse":
                raise Refusal(400, grpc.StatusCode.INVALID_ARGUMENT, "input size does not match signature")
            case "fail":
                raise Refusal(500, grpc.StatusCode.INTERNAL, "out of\nluck")
            case "slow":
                time.sleep(self.slowness)

    def _check_model(self, name: str, version: str) -> None:
        kind, _, value = version.partition(":")
        if kind == "label" and value not in self.versions.values():
            text = f"Unrecognized servable version label: {value}"
            raise Refusal(400, grpc.StatusCode.INVALID_ARGUMENT, text)
        if name != self.name or (kind == "version" and int(value) not in self.versions):
            text = f"Servable not found for request: Latest({name})"
            raise Refusal(404, grpc.StatusCode.NOT_FOUND, text)

    def _outputs(self, signature: str, images: list[bytes]) -> dict[str, list]:
        valid = [UNDECODABLE not in image for image in images]
        scores = [probability_of(i) if ok else -1.0 for i, ok in zip(images, valid, strict=True)]
        labels = [("PNEUMONIA" if p >= 0.5 else "NORMAL") if p >= 0 else "INVALID" for p in scores]
        outputs = {"probability": scores, "label": labels, "valid": valid}
        if signature == "gradcam":
            outputs["heatmap"] = [heatmap_of(image) for image in images]
            outputs["overlay_bytes"] = [
                overlay_of(image) if ok else b"" for image, ok in zip(images, valid, strict=True)
            ]
        return outputs


class RestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name, *rest = self.path.removeprefix("/v1/models/").removesuffix(":predict").split("/")
        version = f"{rest[0].removesuffix('s')}:{rest[1]}" if rest else ""
        images = [base64.b64decode(item["b64"], validate=True) for item in request["inputs"]["image_bytes"]]
        try:
            outputs = self.server.model.answer(name, version, request["signature_name"], images)
        except Refusal as refusal:
            self._reply(refusal.http, {"error": str(refusal)})
        else:
            self._reply(
                200, {"outputs": {key: [_json(v) for v in values] for key, values in outputs.items()}}
            )

    def do_GET(self) -> None:
        if self.path != f"/v1/models/{self.server.model.name}":
            self._reply(404, {"error": f"Could not find any versions of model {self.path}"})
            return
        status = {"error_code": "OK", "error_message": ""}
        state = self.server.model.state
        self._reply(200, {"model_version_status": [{"version": "1", "state": state, "status": status}]})

    def _reply(self, status: int, body: dict) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args) -> None:
        pass


def _json(value):
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return value.tolist() if isinstance(value, np.ndarray) else value


class RestServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, model: Model, port: int) -> None:
        super().__init__(("127.0.0.1", port), RestHandler)
        self.model = model
        self.connections: set[socket.socket] = set()

    def process_request(self, request, client_address) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address) -> None:
        """Ignores clients that have closed their connection."""


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, model: Model) -> None:
        self._model = model

    def Predict(self, request, context):  # noqa: N802 (the API's name)
        spec = request.model_spec
        version = ""
        if spec.HasField("version"):
            version = f"version:{spec.version.value}"
        elif spec.version_label:
            version = f"label:{spec.version_label}"
        images = list(request.inputs["image_bytes"].string_val)
        try:
            outputs = self._model.answer(spec.name, version, spec.signature_name, images)
        except Refusal as refusal:
            context.abort(refusal.code, str(refusal))
        response = predict_pb2.PredictResponse()
        for name, values in outputs.items():
            tensor = response.outputs[name]
            tensor.CopyFrom(_tensor_of(values))
        return response


def _tensor_of(values: list) -> "tf.compat.v1.TensorProto":
    """A tensor in the typed fields, never in tensor_content."""
    array = np.asarray(values, object if isinstance(values[0], str | bytes) else None)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    tensor = tf.make_tensor_proto(array)
    if tensor.tensor_content:
        tensor.ClearField("tensor_content")
        tensor.float_val.extend(array.ravel().tolist())
    return tensor


class Server:
    """Serves both APIs on 127.0.0.1, on free ports unless ports are given."""

    def __init__(self, ports: dict[str, int] | None = None) -> None:
        self.model = Model()
        ports = ports or {"grpc": 0, "rest": 0}
        self._rest = RestServer(self.model, ports["rest"])
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._grpc = grpc.server(ThreadPoolExecutor(16), options=unlimited)
        service = PredictionService(self.model)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, self._grpc)
        grpc_port = self._grpc.add_insecure_port(f"127.0.0.1:{ports['grpc']}")
        self._grpc.start()
        threading.Thread(target=self._rest.serve_forever, args=(0.02,), daemon=True).start()
        self.ports = {"grpc": grpc_port, "rest": self._rest.server_port}

    def address(self, transport: str) -> str:
        return f"127.0.0.1:{self.ports[transport]}"

    def stop(self) -> None:
        """Stops both APIs at once, and resets their connections."""
        self._grpc.stop(None).wait()
        self._rest.shutdown()
        self._rest.server_close()
        for connection in list(self._rest.connections):
            _reset(connection)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


@pytest.fixture(params=["grpc", "rest"])
def transport(request) -> str:
    return request.param


@pytest.fixture
def unused_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


class ResettingProxy:
    """Forwards TCP to a server, and resets each connection after a number of bytes from the server."""

    def __init__(self, port: int, bytes_before_reset: Callable[[int], int]) -> None:
        self._target = port
        self._bytes_before_reset = bytes_before_reset
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.resets = 0
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Resets all connections, and accepts no further one."""
        with contextlib.suppress(OSError):  # it was stopped before
            self._listener.shutdown(socket.SHUT_RDWR)  # ends the wait of the thread that accepts
        self._listener.close()
        for connection in self._connections:
            _reset(connection)

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            upstream = socket.create_connection(("127.0.0.1", self._target))
            self._connections += [client, upstream]
            threading.Thread(target=self._pump, args=(client, upstream, None), daemon=True).start()
            allowed = self._bytes_before_reset(number)
            threading.Thread(target=self._pump, args=(upstream, client, allowed), daemon=True).start()
            number += 1

    def _pump(self, source: socket.socket, sink: socket.socket, allowed: int | None) -> None:
        try:
            while content := source.recv(1 << 16):
                if allowed is not None and (allowed := allowed - len(content)) < 0:
                    self.resets += 1
                    _reset(sink)
                    break
                sink.sendall(content)
        except OSError:
            pass
        _reset(source)
        _reset(sink)


def _reset(connection: socket.socket) -> None:
    """Closes the connection with RST, also while another thread reads from it."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()
    except OSError:
        pass


@pytest.fixture
def resetting_proxy() -> Iterator[Callable[[int, Callable[[int], int]], ResettingProxy]]:
    proxies = []

    def start(port: int, bytes_before_reset: Callable[[int], int]) -> ResettingProxy:
        proxies.append(ResettingProxy(port, bytes_before_reset))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.stop()


def encoded_image(seed: int, side: int = 16, suffix: str = ".png") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)
    return cv2.imencode(suffix, pixels)[1].tobytes()


@pytest.fixture
def images() -> list[bytes]:
    """Ten different images, in several formats."""
    suffixes = (".png", ".jpg", ".bmp")
    return [encoded_image(seed, suffix=suffixes[seed % 3]) for seed in range(10)]


@pytest.fixture
def broken_image() -> bytes:
    """A file that is an image as far as its header tells: only the server notices."""
    return encoded_image(77) + UNDECODABLE
