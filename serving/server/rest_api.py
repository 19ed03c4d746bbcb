"""TensorFlow Serving's REST API as a plain ASGI application: HTTP, limits and timeouts.

`rest_routes` says what is answered at each URL. See docs/serving-contract.md, sections 1 and 2.
"""

import asyncio
import dataclasses
import logging
import re
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Executor
from typing import Any

import grpc

from serving.server.json_reply import error_reply
from serving.server.metrics import Metrics
from serving.server.models import Models
from serving.server.rest_routes import RestRoutes
from serving.server.status import StatusError

_API_PATH = re.compile(r"(?i)/v1/.*", re.DOTALL)
_ALLOWED_ORIGIN = re.compile(rb"https?://")
_INFLATED_LIMIT = 100 << 20  # bytes of an inflated gzip body, as in TensorFlow Serving

_JSON = "application/json"
_HTML = "text/html"

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class HttpReply:
    """A reply over HTTP."""

    status: int
    body: bytes = b""
    content_type: str = _JSON
    closes_connection: bool = False


@dataclasses.dataclass(frozen=True)
class RestLimits:
    """What requests may take from the server."""

    max_concurrent_requests: int
    """Maximum number of requests that are answered at the same time; further ones are refused with
    RESOURCE_EXHAUSTED."""
    timeout: float
    """Seconds after which a request is answered with DEADLINE_EXCEEDED."""


class RestApi:
    """The ASGI application.

    Args:
        models: the models of the server.
        metrics: counts and times the requests.
        executor: its threads run the models, so that the event loop never waits for one.
        limits: what requests may take from the server.
        metrics_path: path of the URL of the metrics; None to show no metrics.
    """

    def __init__(
        self,
        models: Models,
        metrics: Metrics,
        executor: Executor,
        limits: RestLimits,
        metrics_path: str | None = None,
    ) -> None:
        self._routes = RestRoutes(models, metrics)
        self._metrics = metrics
        self._executor = executor
        self._limits = limits
        self._metrics_path = metrics_path
        self._running_requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; uvicorn calls this."""
        if scope["type"] != "http":
            return
        self._running_requests += 1
        try:
            reply = await self._answer(scope, receive)
        finally:
            self._running_requests -= 1
        headers = [
            (b"content-type", reply.content_type.encode()),
            (b"content-length", str(len(reply.body)).encode()),
        ]
        if reply.closes_connection:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _answer(self, scope: Scope, receive: Receive) -> HttpReply:
        method, headers = scope["method"], dict(scope["headers"])
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        if scope["query_string"]:
            path += "?" + scope["query_string"].decode("latin-1")
        early_reply = self._reply_without_model(method, path, headers)
        if early_reply is not None:
            return early_reply
        if self._running_requests > self._limits.max_concurrent_requests:
            return _error(StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many requests at a time"))
        body = await _read_body(headers, receive)
        reply = asyncio.get_running_loop().run_in_executor(self._executor, self._reply, method, path, body)
        try:
            return await asyncio.wait_for(reply, self._limits.timeout)
        except TimeoutError:
            message = "Timed out waiting for notification"
            return _error(StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, message))

    def _reply_without_model(self, method: str, path: str, headers: dict[bytes, bytes]) -> HttpReply | None:
        """The reply of the HTTP server below TensorFlow Serving; None if the request is one for a model."""
        if method in {"TRACE", "CONNECT"}:
            return _html_error(501, "Not Implemented")
        if headers.get(b"expect", b"100-continue").lower() != b"100-continue":
            return _html_error(417, "Expectation Failed")
        if method == "OPTIONS":
            return HttpReply(200 if _ALLOWED_ORIGIN.search(headers.get(b"origin", b"")) else 400)
        if path == self._metrics_path and method == "GET":
            return HttpReply(200, self._metrics.page().encode("utf-8", "replace"), "text/plain")
        return None if _API_PATH.fullmatch(path) else _html_error(404, "Not Found")

    def _reply(self, method: str, path: str, body: bytes) -> HttpReply:
        try:
            return HttpReply(200, self._routes.reply(method, path, body))
        except StatusError as error:
            return _error(error)
        except Exception:
            logger.exception("the request %s %s failed", method, path)
            return _error(StatusError(grpc.StatusCode.INTERNAL, "the server failed; its log says why"))


def _error(error: StatusError) -> HttpReply:
    return HttpReply(error.http_status, error_reply(error))


def _html_error(status: int, reason: str) -> HttpReply:
    html = f"<html><head><title>{status} {reason}</title></head><body><h1>{reason}</h1></body></html>\n"
    return HttpReply(status, html.encode(), _HTML, closes_connection=True)


async def _read_body(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(parts)
    return _inflated(body) if b"gzip" in headers.get(b"content-encoding", b"").lower() else body


def _inflated(body: bytes) -> bytes:
    """The content of a gzip body; empty if the body is damaged, or its content larger than the limit."""
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = decompressor.decompress(body, _INFLATED_LIMIT)
    except zlib.error:
        return b""
    return content if decompressor.eof else b""
