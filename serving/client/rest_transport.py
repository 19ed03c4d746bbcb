"""Predict over REST, in the column format; needs no TensorFlow."""

import asyncio
import base64
import json
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx

from serving.client.answers import Outputs
from serving.client.errors import ServerFailed, ServerUnavailable, ServingError
from serving.client.transport import (
    BYTES_SUFFIX,
    IMAGE_INPUT,
    UNKNOWN_LABEL,
    ServedModel,
    Tls,
    not_found,
    one_line,
    refused,
    too_late,
    unreachable,
)
from tfrecords_builder.errors import UserError

_OK, _BAD_REQUEST, _NOT_FOUND, _GATEWAY_TIMEOUT = 200, 400, 404, 504
_TEMPORARY = (429, 502, 503)  # 502 comes from proxies, whose server is gone for the moment


class RestTransport:
    """A pool of connections to one server, as large as the number of calls at the same time."""

    def __init__(self, address: str, model: ServedModel, tls: Tls | None) -> None:
        self._address = address
        self._model = model
        base = address if "://" in address else f"{'http' if tls is None else 'https'}://{address}"
        self._url = f"{base.rstrip('/')}/v1/models/{_path(model)}:predict"
        self._http = httpx.AsyncClient(
            verify=_tls_context(tls) if tls is not None else True,
            timeout=None,  # noqa: S113 (every call has its own deadline)
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )

    async def call(self, signature: str, images: Sequence[bytes], deadline: float) -> Outputs:
        """See `Transport.call`."""
        body = json.dumps({"signature_name": signature, "inputs": {IMAGE_INPUT: [_b64(i) for i in images]}})
        try:
            async with asyncio.timeout(deadline):
                response = await self._http.post(
                    self._url, content=body.encode(), headers={"Content-Type": "application/json"}
                )
        except TimeoutError:
            raise too_late(self._address, deadline) from None
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise unreachable(self._address, str(error)) from None
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise ServerUnavailable(
                f"the server at {self._address} closed the connection: {reason}"
            ) from None
        if response.status_code != _OK:
            raise self._translated(response, deadline)
        return self._outputs(response)

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._http.aclose()

    def _outputs(self, response: httpx.Response) -> Outputs:
        try:
            outputs = response.json()["outputs"]
            return {name: _values(name, values) for name, values in outputs.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ServerFailed(
                f"what answers at {self._address} is no TensorFlow Serving: {response.text[:80]!r}"
            ) from None

    def _translated(self, response: httpx.Response, deadline: float) -> ServingError:
        code, detail = response.status_code, _error_text(response)
        address = self._address
        if code in _TEMPORARY:
            return ServerUnavailable(
                f"the server at {address} is not available: HTTP {code} {one_line(detail)}"
            )
        if code == _GATEWAY_TIMEOUT:
            return too_late(address, deadline)
        if code == _NOT_FOUND or UNKNOWN_LABEL in detail:
            return not_found(address, self._model, detail)
        if code == _BAD_REQUEST:
            return refused(address, detail)
        return ServerFailed(f"the server at {address} failed: HTTP {code} {one_line(detail)}")


def _path(model: ServedModel) -> str:
    if model.version is not None:
        return f"{quote(model.name, safe='')}/versions/{model.version}"
    if model.label is not None:
        return f"{quote(model.name, safe='')}/labels/{quote(model.label, safe='')}"
    return quote(model.name, safe="")


def _tls_context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:  # ssl.SSLError is one
        raise UserError(f"cannot use the PEM files of {tls}: {error.strerror}") from None
    return context


def _b64(image: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(image).decode("ascii")}


def _values(name: str, values: list[Any]) -> list[Any]:
    return [base64.b64decode(value["b64"]) for value in values] if name.endswith(BYTES_SUFFIX) else values


def _error_text(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
