"""Sends predict requests over REST, in TensorFlow Serving's column format. It needs no TensorFlow."""

import asyncio
import base64
import dataclasses
import json
import math
import ssl
import time
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np

from serving import names
from serving.client import errors
from serving.client.answers import Outputs, Reply
from serving.client.errors import ServerFailed, ServingError
from serving.client.protocols import Protocol, explain_failure
from serving.client.proxies import Proxy, describe_address, rest_proxy
from serving.client.retry import TEMPORARY_HTTP_CODES
from serving.client.transport import Batch, ServedModel, Tls
from tfrecords_builder.errors import UserError

_OK, _BAD_REQUEST, _NOT_FOUND, _GATEWAY_TIMEOUT = 200, 400, 404, 504
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LARGEST_PORT = 65_535
_VERSION_SECONDS = 5.0
"""After this time, the server is asked again which version answers."""


class RestTransport:
    """Keeps connections to one server open, as many as there are requests at the same time.

    Raises:
        UserError: if the address is no address, or a file of `tls` or the proxy cannot be used.
    """

    def __init__(self, address: str, model: ServedModel, tls: Tls | None) -> None:
        base = base_url(address, tls)
        port = port_of(base)
        self._model = model
        server = str(base).rstrip("/")
        self._predict_url = server + predict_path(model)
        self._metadata_url = f"{server}{_model_path(model)}/metadata"
        self._version = _KnownVersion()
        self._place = base.host, port
        self._proxy = rest_proxy(base.scheme, base.host, port)
        self._address = describe_address(address, base.host, self._proxy)
        self._protocol = Protocol(grpc=False, encrypted=base.scheme == "https")
        self._was_answered = False
        context = _tls_context(tls or Tls()) if self._protocol.encrypted else True
        self._http = httpx.AsyncClient(
            transport=_http_transport(self._proxy, context),
            timeout=None,  # noqa: S113 (every call has a deadline)
        )

    async def call(self, signature: str, images: Batch, deadline: float) -> Reply:
        """See `Transport.call`."""
        try:
            async with asyncio.timeout(deadline):
                response = await self._http.post(
                    self._predict_url,
                    content=predict_body(signature, images),
                    headers={"Content-Type": "application/json"},
                )
        except TimeoutError:
            raise errors.deadline_exceeded(self._address, deadline) from None
        except (httpx.TransportError, OSError) as error:  # httpx lets some errors of TLS through
            raise await self._no_reply(error) from None
        self._was_answered = True
        if response.status_code != _OK:
            raise self._error_of(response, deadline)
        return Reply(self._outputs_of(response), await self._version_that_answers(deadline))

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._http.aclose()

    async def _version_that_answers(self, deadline: float) -> int | None:
        """The number of the version, which predict replies do not name over REST; None if it is not told."""
        if not self._version.is_recent():
            self._version = _KnownVersion(await self._asked_version(deadline), time.monotonic())
        return self._version.number

    async def _asked_version(self, deadline: float) -> int | None:
        try:
            async with asyncio.timeout(deadline):
                response = await self._http.get(self._metadata_url)
            return int(response.json()["model_spec"]["version"])
        except (httpx.TransportError, OSError, ValueError, KeyError, TypeError):  # TimeoutError is an OSError
            return None

    async def _no_reply(self, error: httpx.TransportError | OSError) -> ServingError:
        detail = _reason(error)
        refusal = detail if isinstance(error, httpx.ConnectError | httpx.ProxyError | OSError) else None
        if not self._was_answered and self._proxy is None:
            explained = await explain_failure(self._address, *self._place, self._protocol, refusal)
            if explained is not None:
                return explained
        if isinstance(error, ssl.SSLError):
            return errors.not_trusted(self._address, detail)
        if refusal is not None:
            return errors.unreachable(self._address, refusal)
        return errors.unavailable(self._address, f"it closed the connection: {detail}")

    def _outputs_of(self, response: httpx.Response) -> Outputs:
        try:
            outputs = response.json()[names.OUTPUTS_KEY]
            return {name: _decoded(name, values) for name, values in outputs.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ServerFailed(
                f"the reply from {self._address} is not one of TensorFlow Serving: {response.text[:80]!r}"
            ) from None

    def _error_of(self, response: httpx.Response, deadline: float) -> ServingError:
        code, message = response.status_code, _error_message(response)
        if code not in (*TEMPORARY_HTTP_CODES, _GATEWAY_TIMEOUT) and message is None:
            moved_to = response.headers.get("location")
            detail = f"it redirects to {moved_to}" if moved_to else response.text[:200]
            return errors.another_server(self._address, f"HTTP {code} {detail}")
        message = message or response.text[:200]
        if code in TEMPORARY_HTTP_CODES:
            return errors.unavailable(self._address, f"HTTP {code} {message}")
        if code == _GATEWAY_TIMEOUT:
            return errors.deadline_exceeded(self._address, deadline)
        if code == _NOT_FOUND or names.UNKNOWN_VERSION_LABEL in message:
            return errors.model_not_found(self._address, self._model, message)
        if code == _BAD_REQUEST:
            return errors.refused(self._address, message)
        return errors.failed(self._address, f"HTTP {code} {message}")


@dataclasses.dataclass(frozen=True)
class _KnownVersion:
    number: int | None = None
    asked_at: float = -math.inf
    """Seconds of the monotonic clock."""

    def is_recent(self) -> bool:
        return time.monotonic() - self.asked_at < _VERSION_SECONDS


def _model_path(model: ServedModel) -> str:
    """The path of a model."""
    path = f"{names.REST_MODELS}/{quote(model.name, safe='')}"
    if model.version is not None:
        path += f"/versions/{model.version}"
    elif model.label is not None:
        path += f"/labels/{quote(model.label, safe='')}"
    return path


def predict_path(model: ServedModel) -> str:
    """The path of predict requests to a model."""
    return f"{_model_path(model)}:predict"


def predict_body(signature: str, images: Batch) -> bytes:
    """The JSON body of a predict request.

    Args:
        signature: name of the signature.
        images: the images, as the signature takes them.
    """
    inputs: dict[str, Any]
    if isinstance(images, np.ndarray):
        inputs = {names.IMAGE: images.tolist()}
    else:
        encoded = [{names.BASE64_KEY: base64.b64encode(image).decode("ascii")} for image in images]
        inputs = {names.IMAGE_BYTES: encoded}
    return json.dumps({names.SIGNATURE_NAME_KEY: signature, names.INPUTS_KEY: inputs}).encode()


def base_url(address: str, tls: Tls | None) -> httpx.URL:
    """The URL of a server.

    Args:
        address: HOST:PORT, or a URL of HTTP or HTTPS.
        tls: how connections to HOST:PORT are encrypted; None for connections that are not.

    Raises:
        UserError: if the address is neither HOST:PORT nor a URL of HTTP.
    """
    scheme = "http" if tls is None else "https"
    try:
        url = httpx.URL(address if "://" in address else f"{scheme}://{address}")
    except (httpx.InvalidURL, ValueError):
        url = None
    if url is None or url.scheme not in _DEFAULT_PORTS or not url.host or (url.port or 0) > _LARGEST_PORT:
        raise UserError(
            f"the address of a REST API must be HOST:PORT or an http:// URL. Received: {address!r}"
        )
    return url


def port_of(url: httpx.URL) -> int:
    """The port of a URL, also if it is the usual one of HTTP or HTTPS and therefore left out."""
    return url.port or _DEFAULT_PORTS[url.scheme]


def _http_transport(proxy: Proxy | None, verify: ssl.SSLContext | bool) -> httpx.AsyncHTTPTransport:
    """Connections without limits of their own.

    Raises:
        UserError: if the proxy cannot be used.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    try:
        return httpx.AsyncHTTPTransport(verify=verify, limits=limits, proxy=proxy.url if proxy else None)
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise UserError(
            f"{proxy} cannot be used: {error}; name an http:// proxy, or unset the variable"
        ) from None


def _tls_context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:  # ssl.SSLError is an OSError
        files = ", ".join(repr(file) for file in (tls.ca, tls.certificate, tls.key) if file is not None)
        raise UserError(f"cannot use the PEM files {files}: {error.strerror}") from None
    return context


def _decoded(output: str, values: list[Any]) -> list[Any]:
    if not output.endswith(names.BYTES_SUFFIX):
        return values
    return [base64.b64decode(value[names.BASE64_KEY]) for value in values]


def _reason(error: BaseException) -> str:
    """The text of an error, or of the first of its causes that has one."""
    cause: BaseException | None = error
    while cause is not None and not str(cause):
        cause = cause.__cause__ or cause.__context__
    return str(cause) if cause is not None else type(error).__name__


def _error_message(response: httpx.Response) -> str | None:
    """The message of TensorFlow Serving; None if another server has answered."""
    try:
        return str(response.json()[names.ERROR_KEY])
    except (ValueError, KeyError, TypeError):
        return None
