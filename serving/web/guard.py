"""Refuses requests that are too large, too slow or not allowed, before anything else sees them.

It is an ASGI middleware, not one of Starlette's, as it must count the bytes of a body while they arrive.
"""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from serving.web.settings import WebSettings

API = "/v1/"
"""Paths that begin so need the token."""
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_POLICY_OF_DOCS = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]


class Guard:
    """Limits what reaches an application.

    Args:
        application: the ASGI application.
        settings: the limits.
        token: what requests to the API must bring; None for nothing.
    """

    def __init__(self, application: Application, settings: WebSettings, token: str | None) -> None:
        self._application = application
        self._settings = settings
        self._token = token

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        answer = _Answer(send, scope["path"])
        body = _Body(receive, self._settings.max_bytes)
        try:
            self._check(scope)
            async with asyncio.timeout(self._settings.max_seconds):
                await self._application(scope, body.receive, answer.send)
        except HTTPException as refused:
            await answer.refuse(refused.status_code, refused.detail)
        except TimeoutError:
            seconds = self._settings.max_seconds
            if body.is_complete:
                await answer.refuse(504, f"the request was not answered within {seconds:g} s")
            else:
                await answer.refuse(408, f"the request did not arrive within {seconds:g} s")

    def _check(self, scope: Any) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        # A page of another site cannot make the browser's own machine answer under that site's name.
        if self._settings.is_local and _host_name(headers.get("host", "")) not in _LOCAL_NAMES:
            raise HTTPException(421, "this service answers only at localhost: choose an address with --host")
        if scope["path"].startswith(API) and not self._is_allowed(headers.get("authorization", "")):
            given = (
                "this is not the token of this service" if "authorization" in headers else "a token is needed"
            )
            raise HTTPException(401, f"{given}: send the header 'Authorization: Bearer TOKEN'")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._settings.max_bytes:
            raise _too_large(self._settings.max_bytes)

    def _is_allowed(self, authorization: str) -> bool:
        if self._token is None:
            return True
        scheme, _, token = authorization.partition(" ")
        given = token.strip().encode("latin-1")
        return scheme.lower() == "bearer" and hmac.compare_digest(given, self._token.encode())


class _Body:
    """Counts the bytes of a request."""

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self.is_complete = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._num_bytes += len(message.get("body", b""))
            self.is_complete = not message.get("more_body", False)
            if self._num_bytes > self._max_bytes:
                raise _too_large(self._max_bytes)
        return message


class _Answer:
    """Adds the headers of every answer."""

    def __init__(self, send: Send, path: str) -> None:
        self._send = send
        self._headers = _HEADERS | {
            "content-security-policy": _POLICY_OF_DOCS if path == "/docs" else _POLICY,
        }
        self._has_begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._has_begun = True
            added = [(name.encode(), value.encode()) for name, value in self._headers.items()]
            message["headers"] = [*message.get("headers", []), *added]
        await self._send(message)

    async def refuse(self, status: int, error: str) -> None:
        if self._has_begun:
            return  # the connection is closed without the rest of the answer
        body = json.dumps({"error": error}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(b"connection", b"close")]  # what is left of the body is not read
        if status == 401:  # noqa: PLR2004 - as HTTP wants it
            headers += [(b"www-authenticate", b"Bearer")]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def _too_large(max_bytes: int) -> HTTPException:
    return HTTPException(413, f"a request may have at most {max_bytes >> 20} MiB: send fewer files at once")


def _host_name(host: str) -> str:
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
