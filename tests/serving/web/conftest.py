"""A web service over a real socket, in front of a real model server; and a real browser, if there is one."""

import contextlib
import shutil
import socket
from collections.abc import Callable, Iterator

import httpx
import pytest

from serving.server.http_server import HttpServer, listen
from serving.web.app import make_app
from serving.web.guard import Guard
from serving.web.settings import WebSettings

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextlib.contextmanager
def running_web(token: str | None = None, **settings) -> Iterator[str]:
    """Runs the web service in this process; yields its URL."""
    configured = WebSettings(transport="rest", port=0, **settings)
    listener = listen(configured.host, 0)
    with configured.connect() as client:
        application = Guard(make_app(configured, client), configured, token)
        server = HttpServer(application, listener, grace=5, max_connections=configured.max_requests)
        server.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.stop()
            server.join()


@pytest.fixture
def start_web(local_server) -> Iterator[Callable[..., str]]:
    """Starts web services in front of the local server, with any settings."""
    with contextlib.ExitStack() as stack:

        def start(token: str | None = None, **settings) -> str:
            address = settings.pop("address", f"127.0.0.1:{local_server.rest}")
            return stack.enter_context(running_web(token, address=address, **settings))

        yield start


@pytest.fixture(scope="module")
def web(local_server) -> Iterator[httpx.Client]:
    """A web service with its default settings."""
    with (
        running_web(address=f"127.0.0.1:{local_server.rest}") as url,
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        yield http


@pytest.fixture(scope="session")
def browser():
    """A real browser without a window; the test skips where none is installed."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} is installed")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
