"""Sends predict requests over REST, in TensorFlow Serving's column format. It needs no TensorFlow."""

import asyncio
import base64
import json
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx

from serving import names
from serving.client import errors
from serving.client.answers import Outputs
from serving.client.errors import ServerFailed, ServingError
from serving.client.transport import ServedModel, Tls
from tfrecords_builder.errors import UserError

_OK, _BAD_REQUEST, _NOT_FOUND, _GATEWAY_TIMEOUT = 200, 400, 404, 504
_TEMPORARY = (429, 502, 503)  # 502 is the reply of a proxy whose server is restarting


class RestTransport:
    """Keeps connections to one server open, as many as there are requests at the same time."""

    def __init__(self, address: str, model: ServedModel, tls: Tls | None) -> None:
        self._address = address
        self._model = model
        base = address if "://" in address else f"{'http' if tls is None else 'https'}://{address}"
        self._url = base.rstrip("/") + predict_path(model)
        self._http = httpx.AsyncClient(
            verify=_tls_context(tls) if tls is not None else True,
            timeout=None,  # noqa: S113 (every call has a deadline)
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )

    async def call(self, signature: str, images: Sequence[bytes], deadline: float) -> Outputs:
        """See `Transport.call`."""
        try:
            async with asyncio.timeout(deadline):
                response = await self._http.post(
                    self._url,
                    content=predict_body(signature, images),
                    headers={"Content-Type": "application/json"},
                )
        except TimeoutError:
            raise errors.deadline_exceeded(self._address, deadline) from None
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise errors.unreachable(self._address, str(error)) from None
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise errors.unavailable(self._address, f"it closed the connection: {reason}") from None
        if response.status_code != _OK:
            raise self._error_of(response, deadline)
        return self._outputs_of(response)

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._http.aclose()

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
        if code in _TEMPORARY:
            return errors.unavailable(self._address, f"HTTP {code} {message}")
        if code == _GATEWAY_TIMEOUT:
            return errors.deadline_exceeded(self._address, deadline)
        if code == _NOT_FOUND or names.UNKNOWN_VERSION_LABEL in message:
            return errors.model_not_found(self._address, self._model, message)
        if code == _BAD_REQUEST:
            return errors.refused(self._address, message)
        return errors.failed(self._address, f"HTTP {code} {message}")


def predict_path(model: ServedModel) -> str:
    """The path of predict requests to a model."""
    path = f"{names.REST_MODELS}/{quote(model.name, safe='')}"
    if model.version is not None:
        path += f"/versions/{model.version}"
    elif model.label is not None:
        path += f"/labels/{quote(model.label, safe='')}"
    return f"{path}:predict"


def predict_body(signature: str, images: Sequence[bytes]) -> bytes:
    """The JSON body of a predict request.

    Args:
        signature: name of the signature.
        images: encoded image files.
    """
    encoded = [{names.BASE64_KEY: base64.b64encode(image).decode("ascii")} for image in images]
    return json.dumps(
        {names.SIGNATURE_NAME_KEY: signature, names.INPUTS_KEY: {names.IMAGE_BYTES: encoded}}
    ).encode()


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


def _error_message(response: httpx.Response) -> str:
    try:
        return str(response.json()[names.ERROR_KEY])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
