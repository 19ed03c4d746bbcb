"""The gRPC server: its port, its encryption, its limits, and how it stops."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from serving.server.config_files import read_ssl_config
from serving.server.grpc_services import add_services
from serving.server.metrics import Metrics
from serving.server.models import Models
from tfrecords_builder.errors import UserError

UNLIMITED = -1
HEALTH_NAMES = ("", "ModelService", "PredictionService")  # TensorFlow Serving leaves out the package

_THREADS = 64  # they wait for TensorFlow most of the time, and batches are made of requests that wait

_QUIET_SECONDS = 0.2
_DRAIN_SECONDS = 5.0


class _Door(grpc.ServerInterceptor):
    """Refuses requests once it is closed.

    What waits inside gRPC when a server stops is cut off with CANCELLED, which no client tries again; what is
    refused here is UNAVAILABLE.
    """

    def __init__(self) -> None:
        self._is_closed = False
        self._last = 0.0

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """See gRPC."""
        self._last = time.monotonic()
        if not self._is_closed:
            return continuation(handler_call_details)
        return grpc.unary_unary_rpc_method_handler(_refuse)

    def close(self) -> None:
        """Closes, and waits until nobody comes any more, or for as long as clients can be expected to go."""
        self._is_closed = True
        closed = self._last = time.monotonic()
        while (now := time.monotonic()) - self._last < _QUIET_SECONDS and now - closed < _DRAIN_SECONDS:
            time.sleep(_QUIET_SECONDS / 10)


def _refuse(_: Any, context: grpc.ServicerContext) -> None:
    context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping")


class GrpcServer:
    """Serves models over gRPC.

    The port is taken at once, so that a second server fails before it has loaded its models.

    Args:
        host: address to listen at.
        port: 0 for any free one.
        credentials: of TLS; None for none.
        concurrent: requests at a time; more are RESOURCE_EXHAUSTED.
        with_health: whether the health service of gRPC answers too.

    Raises:
        RuntimeError: if the port is in use or not available.
    """

    def __init__(
        self, host: str, port: int, credentials: Any | None, *, concurrent: int, with_health: bool
    ) -> None:
        self._health = health.HealthServicer() if with_health else None
        self._door = _Door()
        self._server = grpc.server(
            ThreadPoolExecutor(min(_THREADS, concurrent), thread_name_prefix="grpc"),
            options=[
                ("grpc.max_receive_message_length", UNLIMITED),
                ("grpc.max_send_message_length", UNLIMITED),
                ("grpc.so_reuseport", 0),  # else a second server would silently share the port
            ],
            maximum_concurrent_rpcs=concurrent,
            interceptors=[self._door],
        )
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if credentials is None:
            self.port = int(self._server.add_insecure_port(address))
        else:
            self.port = int(self._server.add_secure_port(address, credentials))

    def start(self, models: Models, metrics: Metrics) -> None:
        """Starts to answer."""
        add_services(self._server, models, metrics)
        if self._health is not None:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
            for name in HEALTH_NAMES:
                self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._server.start()

    def stop(self, grace: float) -> threading.Event:
        """Accepts no more; the event is set when all that was accepted is answered, or `grace` is over."""
        if self._health is not None:
            self._health.enter_graceful_shutdown()
        self._door.close()
        return self._server.stop(grace)


def read_credentials(path: str) -> Any:
    """The encryption that an SSLConfig file asks for, with the certificate of the client if it says so.

    Raises:
        UserError: if the file is none, or what it holds is no key and certificate.
    """
    config = read_ssl_config(path)
    if not config.server_key or not config.server_cert:
        raise UserError(f"{path!r} must hold server_key and server_cert, both in PEM")
    if config.client_verify and not config.custom_ca:
        raise UserError(
            f"{path!r} asks for client_verify: custom_ca must say whose certificates are accepted"
        )
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )
