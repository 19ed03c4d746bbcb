"""TensorFlow Serving's REST API as a plain ASGI application.

The two URL patterns are matched on the raw path and query, as TensorFlow Serving does: the routers of web
frameworks add redirects, 405 and HEAD, all of which it has not.
"""

import asyncio
import dataclasses
import functools
import json
import logging
import re
import time
import urllib.parse
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Executor
from typing import Any

import grpc
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2

from serving.names import DEFAULT_SIGNATURE
from serving.server import example_apis, json_tensor
from serving.server.grpc_services import model_metadata, model_status
from serving.server.metrics import Metrics
from serving.server.models import Models
from serving.server.servable import Servable
from serving.server.status import StatusError, invalid_argument
from serving.version_folders import LARGEST_VERSION

_WHICH = r"(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?"
_POST = re.compile(rf"(?i)/v1/models/([^/:]+){_WHICH}:(classify|regress|predict)", re.ASCII)
_GET = re.compile(rf"(?i)/v1/models(?:/([^/:]+))?{_WHICH}(?:/(metadata))?", re.ASCII)
_OURS = re.compile(r"(?i)/v1/.*", re.DOTALL)
_INFLATED_LIMIT = 100 << 20  # bytes of a gzip body, as in TensorFlow Serving
_ALLOWED_ORIGIN = re.compile(rb"https?://")

_JSON = "application/json"
_HTML = "text/html"

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer over HTTP."""

    status: int
    body: bytes = b""
    content_type: str = _JSON
    closes: bool = False
    """Whether the connection ends with it."""


@dataclasses.dataclass(frozen=True)
class RestLimits:
    """What one client may take from the others."""

    concurrent: int
    """Requests at a time; more are RESOURCE_EXHAUSTED."""
    timeout: float
    """For each, in seconds; then it is DEADLINE_EXCEEDED."""


class RestApi:
    """The ASGI application.

    Args:
        models: the models.
        metrics: counts the requests.
        executor: runs the predictions, so that the event loop stays free.
        limits: of requests.
        metrics_path: where the metrics are shown; None: nowhere.
    """

    def __init__(
        self,
        models: Models,
        metrics: Metrics,
        executor: Executor,
        limits: RestLimits,
        metrics_path: str | None = None,
    ) -> None:
        self._models = models
        self._metrics = metrics
        self._executor = executor
        self._limits = limits
        self._metrics_path = metrics_path
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        self._running += 1
        try:
            reply = await self._answer(scope, receive)
        finally:
            self._running -= 1
        headers = [
            (b"content-type", reply.content_type.encode()),
            (b"content-length", str(len(reply.body)).encode()),
        ]
        if reply.closes:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Reply:
        method, headers = scope["method"], dict(scope["headers"])
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        if scope["query_string"]:
            path += "?" + scope["query_string"].decode("latin-1")
        simple = self._without_models(method, path, headers)
        if simple is not None:
            return simple
        if self._running > self._limits.concurrent:
            return _error(StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many requests at a time"))
        body = await _read_body(headers, receive)
        run = asyncio.get_running_loop().run_in_executor(
            self._executor, functools.partial(self._reply, method, path, body)
        )
        try:
            return await asyncio.wait_for(run, self._limits.timeout)
        except TimeoutError:
            message = "Timed out waiting for notification"
            return _error(StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, message))

    def _without_models(self, method: str, path: str, headers: dict[bytes, bytes]) -> Reply | None:
        """What the HTTP server of TensorFlow Serving answers before a model is asked."""
        if method in {"TRACE", "CONNECT"}:
            return _page(501, "Not Implemented")
        if headers.get(b"expect", b"100-continue").lower() != b"100-continue":
            return _page(417, "Expectation Failed")
        if method == "OPTIONS":
            return Reply(200 if _ALLOWED_ORIGIN.search(headers.get(b"origin", b"")) else 400)
        if path == self._metrics_path and method == "GET":
            return Reply(200, self._metrics.page().encode("utf-8", "replace"), "text/plain")
        return None if _OURS.fullmatch(path) else _page(404, "Not Found")

    def _reply(self, method: str, path: str, body: bytes) -> Reply:
        try:
            if method == "POST" and (found := _POST.fullmatch(path)):
                name, version, label, verb = found.groups()
                if verb not in {"predict", "classify", "regress"}:
                    raise _malformed(method, path)
                return Reply(200, self._post(_decoded(name), version, label, verb, body))
            if method == "GET" and (found := _GET.fullmatch(path)):
                return Reply(200, _to_json(self._get(*found.groups())))
            raise _malformed(method, path)
        except StatusError as error:
            return _error(error)
        except Exception:
            logger.exception("%s %s failed", method, path)
            return _error(StatusError(grpc.StatusCode.INTERNAL, "the server failed; its log says why"))

    def _post(self, name: str, version: str | None, label: str | None, verb: str, body: bytes) -> bytes:
        with self._metrics.request(name, "Predict", "REST"):
            return self._infer(name, version, label, verb, body)

    def _infer(self, name: str, version: str | None, label: str | None, verb: str, body: bytes) -> bytes:
        number = _version_number(version)
        request = json_tensor.parse_request(body)
        signature_name = json_tensor.signature_name(request) or DEFAULT_SIGNATURE
        if verb != "predict":
            _check_examples(request)
        with self._models.servable(name, number, None if label is None else _decoded(label)) as servable:
            if verb == "classify":
                raise example_apis.refuse_classify(servable, signature_name)
            if verb == "regress":
                raise example_apis.refuse_regress(servable, signature_name)
            return self._predict(servable, signature_name, request)

    def _predict(self, servable: Servable, signature_name: str, request: dict[str, Any]) -> bytes:
        signature = servable.predict_signature(signature_name)
        if signature is None:
            raise invalid_argument(f'Serving signature name: "{signature_name}" not found in signature def')
        inputs, rows = json_tensor.to_inputs(request, signature)
        began = time.perf_counter()
        outputs = servable.run(signature_name, inputs)
        self._metrics.record_runtime(servable.name, "Predict", time.perf_counter() - began)
        return json_tensor.to_reply(outputs, rows=rows)

    def _get(
        self, name: str | None, version: str | None, label: str | None, metadata: str | None
    ) -> dict[str, Any]:
        if not name:
            raise invalid_argument("Missing model name in request.")
        name, number = _decoded(name), _version_number(version)
        if metadata != "metadata":  # /METADATA too asks for the status
            return _to_dict(model_status(self._models, name, number))
        with self._models.servable(name, number, None if label is None else _decoded(label)) as servable:
            response = model_metadata(servable)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        spec = _to_dict(response.model_spec)
        return {"model_spec": spec, "metadata": {"signature_def": _to_dict(signatures)}}


def _error(error: StatusError) -> Reply:
    text = json.dumps({"error": error.message}, ensure_ascii=False)
    return Reply(error.http_status, text.encode("utf-8", "replace"))


def _page(status: int, reason: str) -> Reply:
    html = f"<html><head><title>{status} {reason}</title></head><body><h1>{reason}</h1></body></html>\n"
    return Reply(status, html.encode(), _HTML, closes=True)


def _malformed(method: str, path: str) -> StatusError:
    return invalid_argument(f"Malformed request: {method} {path}")


def _decoded(text: str) -> str:
    return urllib.parse.unquote(text)


def _version_number(text: str | None) -> int | None:
    if text is None:
        return None
    if len(text.lstrip("0")) > len(str(LARGEST_VERSION)) or int(text) > LARGEST_VERSION:
        raise invalid_argument(f"Failed to convert version: {text} to numeric.")
    return int(text)


def _check_examples(request: dict[str, Any]) -> None:
    examples = request.get("examples")
    if not isinstance(examples, list) or not examples:
        raise invalid_argument(
            "When method is classify or regress, key 'examples' is expected, a list that is not empty"
        )
    for example in examples:
        if not isinstance(example, dict):
            raise invalid_argument(f"Example must be JSON object but got JSON Value: {json.dumps(example)}")


def _to_dict(message: Any) -> dict[str, Any]:
    return dict(
        json_format.MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
    )


def _to_json(reply: dict[str, Any]) -> bytes:
    return json.dumps(reply, indent=1, ensure_ascii=False).encode()


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
    """The content of a gzip body; a broken one, or one over the limit, counts as empty."""
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = decompressor.decompress(body, _INFLATED_LIMIT)
    except zlib.error:
        return b""
    return content if decompressor.eof else b""
