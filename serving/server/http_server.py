"""The HTTP server of the REST API and of the web service: uvicorn, in a thread of its own."""

import socket
import threading
from typing import Any

import uvicorn

_KEEP_ALIVE_SECONDS = 75  # longer than the connection pools of usual clients keep an idle connection


class HttpServer:
    """Serves an ASGI application in a thread.

    Args:
        application: the ASGI application that answers requests.
        listener: a socket that is bound and listens.
        grace: maximum number of seconds to wait for the answers to accepted requests when the server stops.
        max_connections: requests of further connections are refused with HTTP 503; None for no limit.
    """

    def __init__(
        self, application: Any, listener: socket.socket, grace: float, max_connections: int | None = None
    ) -> None:
        config = uvicorn.Config(
            application,
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=max_connections,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(grace),
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="rest", daemon=True
        )

    def start(self) -> None:
        """Starts to answer requests."""
        self._thread.start()

    def stop(self) -> None:
        """Accepts no more requests. It returns at once; `join` waits for the answers."""
        self._server.should_exit = True

    def join(self) -> None:
        """Waits until all accepted requests are answered, or the time for that is over."""
        self._thread.join()


def listen(host: str, port: int) -> socket.socket:
    """Opens a socket that listens, so that a second server fails before it has loaded its models.

    Args:
        host: address to listen at.
        port: port to listen at; 0 for any free one.

    Raises:
        OSError: if the port is in use or not available.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener
