"""`python -m serving.local MODELS`: serves exported models here, over TensorFlow Serving's two APIs.

For laptops, tests and CI; in production, run TensorFlow Serving (`Dockerfile.serving`).
"""

import contextlib
import dataclasses
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import grpc
import tyro
import uvicorn

import pipeline  # noqa: F401 - first, as it loads TensorFlow without its notes
from serving.grpc_services import add_services
from serving.rest_api import RestApi
from serving.servables import Servables
from tfrecords_builder.command import UserError, run

GRACE_SECONDS = 30.0
"""How long requests that were accepted may take to be answered when the server is told to stop."""
UNLIMITED = -1
THREADS = 2 * (os.cpu_count() or 1)

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class LocalConfig:
    """Serves the models of a folder over gRPC and REST, as TensorFlow Serving does, without Docker.

    New versions in the folder take over by themselves. For laptops, tests and CI: in production, run
    TensorFlow Serving.
    """

    models: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODELS")]
    """Folder of models, as `python -m serving.export` writes it; a path or a URL."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 lets other machines in."""
    grpc_port: int = 8500
    """Port for gRPC; 0 chooses a free one."""
    rest_port: int = 8501
    """Port for REST; 0 chooses a free one."""

    def __post_init__(self) -> None:
        for port in (self.grpc_port, self.rest_port):
            if not 0 <= port < 1 << 16:
                raise ValueError(f"ports must be 0 to 65535. Received: {port}")


@dataclasses.dataclass(frozen=True)
class Ports:
    """Where a running server listens."""

    grpc: int
    rest: int


@contextlib.contextmanager
def serving(config: LocalConfig) -> Iterator[Ports]:
    """Serves until the context ends, then answers what it has accepted.

    Raises:
        UserError: if there is no model, or a port is in use.
    """
    rest_socket = _bind(config.host, config.rest_port)
    executor = ThreadPoolExecutor(THREADS, thread_name_prefix="rest")
    grpc_server = grpc.server(
        ThreadPoolExecutor(THREADS, thread_name_prefix="grpc"),
        options=[
            ("grpc.max_receive_message_length", UNLIMITED),
            ("grpc.max_send_message_length", UNLIMITED),
            ("grpc.so_reuseport", 0),  # else a second server would silently share the port
        ],
    )
    with contextlib.ExitStack() as stack:
        stack.callback(rest_socket.close)
        stack.callback(executor.shutdown)
        grpc_port = _add_port(grpc_server, config.host, config.grpc_port)
        servables = Servables(config.models)
        stack.callback(servables.stop)
        add_services(grpc_server, servables)
        grpc_server.start()
        stack.callback(lambda: grpc_server.stop(GRACE_SECONDS).wait())
        stack.enter_context(_http_server(RestApi(servables, executor), rest_socket))
        for name, servable in servables.serving.items():
            logger.info("serving version %d of %s", servable.version, name)
        yield Ports(grpc_port, rest_socket.getsockname()[1])


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Listening now, so that another server's attempt fails before it has loaded its models.
        listener.listen()
    except OSError as error:
        listener.close()
        raise _port_error("REST", host, port, error.strerror or str(error)) from None
    return listener


def _add_port(server: grpc.Server, host: str, port: int) -> int:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        return int(server.add_insecure_port(address))
    except RuntimeError:
        raise _port_error("gRPC", host, port, "address in use or not available") from None


def _port_error(api: str, host: str, port: int, reason: str) -> UserError:
    return UserError(
        f"cannot listen at {host}:{port} for {api}: {reason}; stop what uses it, or choose another "
        f"--{api.lower()}-port (0: any free one)"
    )


@contextlib.contextmanager
def _http_server(application: RestApi, listener: socket.socket) -> Iterator[None]:
    config = uvicorn.Config(
        application,
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=int(GRACE_SECONDS),
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="rest")
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def main(config: LocalConfig) -> None:
    """Serves until SIGINT or SIGTERM."""
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with serving(config) as ports:
        line = f"ready: gRPC {config.host}:{ports.grpc}, REST http://{config.host}:{ports.rest}/v1/models"
        print(line, flush=True)  # noqa: T201
        stop.wait()


if __name__ == "__main__":
    run(main, LocalConfig, "python -m serving.local")
