"""The HTTP server of the REST API: uvicorn in a thread of its own."""

import socket
import threading
from typing import Any

import uvicorn

_KEEP_ALIVE_SECONDS = 75  # how long a connection may be idle; longer than the pools of usual clients keep one


class HttpServer:
    """Serves an ASGI application.

    Args:
        application: what answers.
        listener: bound and listening.
        grace: how long accepted requests may take when the server stops, in seconds.
    """

    def __init__(self, application: Any, listener: socket.socket, grace: float) -> None:
        config = uvicorn.Config(
            application,
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(grace),
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="rest", daemon=True
        )

    def start(self) -> None:
        """Starts to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Accepts no more; returns at once."""
        self._server.should_exit = True

    def join(self) -> None:
        """Waits until all that was accepted is answered."""
        self._thread.join()


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens already, so that a second server fails before it has loaded its models.

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
