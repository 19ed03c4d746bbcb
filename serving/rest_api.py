"""TensorFlow Serving's REST API as a plain ASGI application.

The two URL patterns are matched on the raw path and query, as TensorFlow Serving does: the routers of web
frameworks add redirects, 405 and HEAD, all of which it has not.
"""

import asyncio
import functools
import gzip
import json
import re
import urllib.parse
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Executor
from typing import Any

from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2

from serving import json_tensor
from serving.grpc_services import model_metadata, model_status
from serving.prediction import DEFAULT_SIGNATURE, predict_signature, run_signature
from serving.servables import Servables
from serving.status import StatusError, invalid_argument

_WHICH = r"(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?"
_POST = re.compile(rf"(?i)/v1/models/([^/:]+){_WHICH}:(classify|regress|predict)")
_GET = re.compile(rf"(?i)/v1/models(?:/([^/:]+))?{_WHICH}(?:/(metadata))?")
_LARGEST_VERSION = (1 << 63) - 1
_INFLATED_LIMIT = 100 << 20  # bytes of a gzip body, as in TensorFlow Serving

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class RestApi:
    """The ASGI application.

    Args:
        servables: the models.
        executor: runs the predictions, so that the event loop stays free.
    """

    def __init__(self, servables: Servables, executor: Executor) -> None:
        self._servables = servables
        self._executor = executor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        body = await _read_body(scope, receive)
        answer = functools.partial(self._answer, scope, body)
        status, reply = await asyncio.get_running_loop().run_in_executor(self._executor, answer)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(reply)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    def _answer(self, scope: Scope, body: bytes) -> tuple[int, bytes]:
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        if scope["query_string"]:
            path += "?" + scope["query_string"].decode("latin-1")
        try:
            return 200, json.dumps(self._reply(scope["method"], path, body), ensure_ascii=False).encode()
        except StatusError as error:
            text = json.dumps({"error": error.message}, ensure_ascii=False)
            return error.http_status, text.encode("utf-8", "replace")

    def _reply(self, method: str, path: str, body: bytes) -> dict[str, Any]:
        if method == "POST" and (found := _POST.fullmatch(path)):
            name, version, label, verb = found.groups()
            if verb not in {"predict", "classify", "regress"}:
                raise _malformed(method, path)
            return self._post(urllib.parse.unquote(name), version, label, verb, body)
        if method == "GET" and (found := _GET.fullmatch(path)):
            return self._get(*found.groups())
        raise _malformed(method, path)

    def _post(
        self, name: str, version: str | None, label: str | None, verb: str, body: bytes
    ) -> dict[str, Any]:
        number = _version_number(version)
        request = json_tensor.parse_request(body)
        signature_name = json_tensor.signature_name(request) or DEFAULT_SIGNATURE
        servable = self._find(name, number, label)
        if verb != "predict":
            if signature_name not in servable.signature_defs:
                raise invalid_argument(f"No signature was found with the name: {signature_name}")
            raise invalid_argument(f"No {verb} inputs found in SignatureDef: {signature_name}")
        signature = predict_signature(servable, signature_name)
        if signature is None:
            raise invalid_argument(f'Serving signature name: "{signature_name}" not found in signature def')
        inputs, rows = json_tensor.to_inputs(request, signature)
        return json_tensor.to_reply(run_signature(servable, signature_name, inputs), rows=rows)

    def _get(
        self, name: str | None, version: str | None, label: str | None, metadata: str | None
    ) -> dict[str, Any]:
        if not name:
            raise invalid_argument("Missing model name in request.")
        name, number = urllib.parse.unquote(name), _version_number(version)
        if metadata != "metadata":  # /METADATA too asks for the status
            return _to_dict(model_status(self._servables, name, None if label else number))
        response = model_metadata(self._find(name, number, label))
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        spec = _to_dict(response.model_spec)
        return {"model_spec": spec, "metadata": {"signature_def": _to_dict(signatures)}}

    def _find(self, name: str, version: int | None, label: str | None) -> Any:
        if label is not None:
            raise invalid_argument(f"Unrecognized servable version label: {urllib.parse.unquote(label)}")
        return self._servables.find(name, version)


def _malformed(method: str, path: str) -> StatusError:
    return invalid_argument(f"Malformed request: {method} {path}")


def _version_number(text: str | None) -> int | None:
    if text is None:
        return None
    if int(text) > _LARGEST_VERSION:
        raise invalid_argument(f"Failed to convert version: {text} to numeric.")
    return int(text)


def _to_dict(message: Any) -> dict[str, Any]:
    return dict(
        json_format.MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
    )


async def _read_body(scope: Scope, receive: Receive) -> bytes:
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(parts)
    encoding = dict(scope["headers"]).get(b"content-encoding", b"")
    return _inflated(body) if b"gzip" in encoding.lower() else body


def _inflated(body: bytes) -> bytes:
    """The content of a gzip body; a broken one, or one over the limit, counts as empty."""
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = decompressor.decompress(body, _INFLATED_LIMIT)
    except (zlib.error, gzip.BadGzipFile):
        return b""
    return content if decompressor.eof else b""
