"""Predict over gRPC. Importing this module imports TensorFlow: the messages of the API are made of it."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc

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
from tfrecords_builder.cli.startup import load_tensorflow
from tfrecords_builder.errors import UserError

load_tensorflow()

import tensorflow as tf  # noqa: E402
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc  # noqa: E402

_UNLIMITED = -1
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", _UNLIMITED),  # the default, 4 MiB, is less than a batch of heatmaps
    ("grpc.max_send_message_length", _UNLIMITED),
    # With the defaults, 1 s growing to 120 s, a channel would ignore a server that is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # Without it, clients of one process share connections, and a load test of 32 clients would test one.
    ("grpc.use_local_subchannel_pool", 1),
)
# A server that goes away cancels what it has begun; what the client cancels itself is not asked for its code.
_PERHAPS_TEMPORARY = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
)
_NO_CONNECTION = ("failed to connect", "DNS resolution failed", "connections to all backends failing")


class GrpcTransport:
    """One channel to one server."""

    def __init__(self, address: str, model: ServedModel, tls: Tls | None) -> None:
        self._address = address
        self._model = model
        self._channel = _channel(address, tls)
        self._predict = prediction_service_pb2_grpc.PredictionServiceStub(self._channel).Predict

    async def call(self, signature: str, images: Sequence[bytes], deadline: float) -> Outputs:
        """See `Transport.call`."""
        call = self._predict.future(self._request(signature, images), timeout=deadline)
        try:
            response = await _finished(call)
        except grpc.RpcError as error:
            raise self._translated(error, deadline) from None
        try:
            return {name: _values(name, tensor) for name, tensor in response.outputs.items()}
        except (TypeError, ValueError) as error:
            raise ServerFailed(f"the server at {self._address} sent a malformed tensor: {error}") from None

    async def close(self) -> None:
        """See `Transport.close`."""
        self._channel.close()

    def _request(self, signature: str, images: Sequence[bytes]) -> Any:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model.name
        request.model_spec.signature_name = signature
        if self._model.version is not None:
            request.model_spec.version.value = self._model.version
        if self._model.label is not None:
            request.model_spec.version_label = self._model.label
        tensor = request.inputs[IMAGE_INPUT]
        tensor.dtype = tf.string.as_datatype_enum
        tensor.tensor_shape.dim.add().size = len(images)
        tensor.string_val.extend(images)
        return request

    def _translated(self, error: Any, deadline: float) -> ServingError:
        code, details = error.code(), error.details() or ""
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return too_late(self._address, deadline)
        if code in _PERHAPS_TEMPORARY:
            return self._perhaps_temporary(code, details)
        if code == grpc.StatusCode.NOT_FOUND or UNKNOWN_LABEL in details:
            return not_found(self._address, self._model, details)
        if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION):
            return refused(self._address, details)
        return ServerFailed(f"the server at {self._address} failed: {code.name} {one_line(details)}")

    def _perhaps_temporary(self, code: Any, details: str) -> ServingError:
        """The core of gRPC uses these codes too, and tells only in the text what it means."""
        if any(text in details for text in _NO_CONNECTION):
            return unreachable(self._address, details)
        if "larger than max" in details:
            return refused(self._address, f"{details}; a smaller --batch-size may help")
        return ServerUnavailable(
            f"the server at {self._address} is not available: {code.name} {one_line(details)}"
        )


def _channel(address: str, tls: Tls | None) -> Any:
    if tls is None:
        return grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)
    credentials = grpc.ssl_channel_credentials(_pem(tls.ca), _pem(tls.key), _pem(tls.certificate))
    return grpc.secure_channel(address, credentials, options=_CHANNEL_OPTIONS)


def _pem(path: str | None) -> bytes | None:
    try:
        return Path(path).read_bytes() if path is not None else None
    except OSError as error:
        raise UserError(f"cannot read the PEM file {path!r}: {error.strerror}") from None


async def _finished(call: Any) -> Any:
    """Awaits a call of the threaded API; grpc.aio does not live with several event loops in a process."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def wake(_: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(done.set)

    call.add_done_callback(wake)
    try:
        await done.wait()
    except asyncio.CancelledError:
        call.cancel()
        raise
    return call.result()


def _values(name: str, tensor: Any) -> Sequence[Any]:
    values = tf.make_ndarray(tensor)
    if tensor.dtype != tf.string.as_datatype_enum or name.endswith(BYTES_SUFFIX):
        return values
    return [text.decode() for text in values]
