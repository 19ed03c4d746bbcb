"""The gRPC server: its port, its encryption, its limits, and how it stops."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from serving.names import UNLIMITED_MESSAGE
from serving.server.config_files import read_ssl_config
from serving.server.grpc_services import add_services
from serving.server.metrics import Metrics
from serving.server.models import Models
from tfrecords_builder.errors import UserError

HEALTH_NAMES = ("", "ModelService", "PredictionService")
"""Services that gRPC's health service knows. As in TensorFlow Serving, they have no package in front."""

# A thread waits for TensorFlow most of the time, and only requests that wait can be joined into a batch.
_THREADS = 64

_QUIET_SECONDS = 0.2
"""A server that stops ends its connections if no request has come for so long."""
_LONGEST_DRAIN_SECONDS = 5.0
"""It ends them after this time even if requests still come."""


class StoppingInterceptor(grpc.ServerInterceptor):
    """Refuses requests with UNAVAILABLE once the server is stopping.

    Without it, gRPC would end requests that wait inside it with CANCELLED, which no client sends again.
    Clients send a request again that was refused with UNAVAILABLE.
    """

    def __init__(self) -> None:
        self._is_stopping = False
        self._last_request = 0.0

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """Passes a request on, or refuses it; gRPC calls this for every request."""
        self._last_request = time.monotonic()
        if not self._is_stopping:
            return continuation(handler_call_details)
        return grpc.unary_unary_rpc_method_handler(_refuse)

    def refuse_until_quiet(self) -> None:
        """Refuses all further requests, and waits until no more of them come, but not without limit."""
        if self._is_stopping:
            return
        self._is_stopping = True
        began = self._last_request = time.monotonic()
        while (now := time.monotonic()) - self._last_request < _QUIET_SECONDS:
            if now - began >= _LONGEST_DRAIN_SECONDS:
                return
            time.sleep(_QUIET_SECONDS / 10)


def _refuse(_: Any, context: grpc.ServicerContext) -> None:
    context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping")


class GrpcServer:
    """Serves models over gRPC.

    The constructor takes the port, so that a second server fails before it has loaded its models.

    Args:
        host: address to listen at.
        port: port to listen at; 0 for any free one.
        credentials: credentials of TLS; None for no encryption.
        max_concurrent_requests: maximum number of requests that are answered at the same time; further ones
            are refused with RESOURCE_EXHAUSTED.
        with_health: whether gRPC's health service answers too.

    Raises:
        RuntimeError: if the port is in use or not available.
    """

    def __init__(
        self,
        host: str,
        port: int,
        credentials: Any | None,
        *,
        max_concurrent_requests: int,
        with_health: bool,
    ) -> None:
        self._health = health.HealthServicer() if with_health else None
        self._interceptor = StoppingInterceptor()
        self._server = grpc.server(
            ThreadPoolExecutor(min(_THREADS, max_concurrent_requests), thread_name_prefix="grpc"),
            options=[
                ("grpc.max_receive_message_length", UNLIMITED_MESSAGE),
                ("grpc.max_send_message_length", UNLIMITED_MESSAGE),
                ("grpc.so_reuseport", 0),  # otherwise a second server would share the port without an error
            ],
            maximum_concurrent_rpcs=max_concurrent_requests,
            interceptors=[self._interceptor],
        )
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if credentials is None:
            self.port = int(self._server.add_insecure_port(address))
        else:
            self.port = int(self._server.add_secure_port(address, credentials))

    def start(self, models: Models, metrics: Metrics) -> None:
        """Starts to answer requests."""
        add_services(self._server, models, metrics)
        if self._health is not None:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
            for name in HEALTH_NAMES:
                self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._server.start()

    def stop(self, grace: float) -> None:
        """Accepts no more requests, and waits up to `grace` seconds until all accepted ones are answered."""
        if self._health is not None:
            self._health.enter_graceful_shutdown()
        self._interceptor.refuse_until_quiet()
        self._server.stop(grace).wait()


def read_credentials(path: str) -> Any:
    """The credentials of TLS that an SSLConfig file holds.

    Raises:
        UserError: if the file cannot be read, or has no key and certificate, or asks for certificates of
            clients and does not say whose are accepted.
    """
    config = read_ssl_config(path)
    if not config.server_key or not config.server_cert:
        raise UserError(f"{path!r} must hold server_key and server_cert, both in PEM")
    if config.client_verify and not config.custom_ca:
        raise UserError(
            f"{path!r} asks for client_verify: its custom_ca must hold the accepted certificates, in PEM"
        )
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )
