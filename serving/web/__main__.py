"""`python -m serving.web`: serves a web page and an HTTP API in front of a model server."""

import importlib.util
import logging

from serving.client.client import Client
from serving.client.errors import ServingError
from serving.client.images import BLANK_IMAGE
from serving.web.settings import WebSettings, read_token
from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run
from tfrecords_builder.errors import UserError

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 10
"""Seconds that a service which is told to stop spends on answering accepted requests."""


def main(settings: WebSettings) -> None:
    """Serves until the process receives SIGINT or SIGTERM."""
    if importlib.util.find_spec("fastapi_offline") is None or importlib.util.find_spec("multipart") is None:
        raise UserError("the web service needs the extra `web`: pip install 'chest-xray-pipeline[web]'")
    token = None if settings.token_file is None else read_token(settings.token_file)
    if not settings.is_local and token is None:
        logger.warning(
            "%s accepts connections from other machines, and anyone who can connect may use it: give "
            "--token-file",
            settings.host,
        )
    if settings.transport == "grpc":
        startup.load_tensorflow()
    _serve(settings, token)


def _serve(settings: WebSettings, token: str | None) -> None:
    from serving.server.http_server import HttpServer, listen
    from serving.server.stop_signals import stop_signals
    from serving.web.app import make_app
    from serving.web.guard import Guard

    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        raise UserError(
            f"cannot listen at {settings.host}:{settings.port}: {error.strerror or error}; stop the program "
            "that uses the port, or choose another with --port (0 for any free port)"
        ) from None
    with stop_signals() as received_signal, settings.connect() as client:
        application = Guard(make_app(settings, client), settings, token)
        server = HttpServer(application, listener, _GRACE_SECONDS, settings.max_requests)
        server.start()
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        print(f"ready: http://{host}:{listener.getsockname()[1]}/", flush=True)  # noqa: T201
        _warn_without_model_server(client)
        received_signal.recv(1)
        server.stop()
        server.join()


def _warn_without_model_server(client: Client) -> None:
    try:
        client.predict([BLANK_IMAGE])
    except ServingError as error:
        logger.warning("the model server does not answer yet, which the page says, too: %s", error)


if __name__ == "__main__":
    run(main, WebSettings, "python -m serving.web")
