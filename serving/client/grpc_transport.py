"""Sends predict requests over gRPC. Importing this module imports TensorFlow, which defines the messages."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving import names
from serving.client import errors
from serving.client.answers import Reply
from serving.client.errors import ServerFailed, ServingError
from serving.client.protocols import Protocol, explain_failure
from serving.client.proxies import describe_address, grpc_proxy, is_this_machine
from serving.client.retry import TEMPORARY_GRPC_CODES
from serving.client.transport import Batch, ServedModel, Tls, host_and_port
from tfrecords_builder.errors import UserError

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", names.UNLIMITED_MESSAGE),
    ("grpc.max_send_message_length", names.UNLIMITED_MESSAGE),
    # By default, pauses grow from 1 s to 120 s, and a channel ignores meanwhile that the server is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # By default, all channels of a process share one connection to a server.
    ("grpc.use_local_subchannel_pool", 1),
)

_NO_CONNECTION = (
    "failed to connect",
    "DNS resolution failed",
    "errors resolving",
    "connections to all backends failing",
)


class GrpcTransport:
    """One channel to one server.

    Raises:
        UserError: if the address is a URL of HTTP, or a file of `tls` cannot be read.
    """

    def __init__(self, address: str, model: ServedModel, tls: Tls | None) -> None:
        refuse_url(address)
        self._host, self._port = host_and_port(address)
        self._proxy = grpc_proxy(self._host, self._port)
        self._address = describe_address(address, self._host, self._proxy)
        self._model = model
        self._protocol = Protocol(grpc=True, encrypted=tls is not None)
        self._was_answered = False
        self._channel = _open_channel(address, tls)
        self._predict = prediction_service_pb2_grpc.PredictionServiceStub(self._channel).Predict

    async def call(self, signature: str, images: Batch, deadline: float) -> Reply:
        """See `Transport.call`."""
        request = predict_request(self._model, signature, images)
        try:
            response = await _result_of(self._predict.future(request, timeout=deadline))
        except grpc.RpcError as error:
            raise await self._translated(error, deadline) from None
        self._was_answered = True
        try:
            outputs = {name: _values(name, tensor) for name, tensor in response.outputs.items()}
        except (TypeError, ValueError) as error:
            raise ServerFailed(f"the server at {self._address} sent a malformed tensor: {error}") from None
        spec = response.model_spec
        return Reply(outputs, spec.version.value if spec.HasField("version") else None)

    async def close(self) -> None:
        """See `Transport.close`."""
        self._channel.close()

    async def _translated(self, error: Any, deadline: float) -> ServingError:
        code, details = error.code(), error.details() or ""
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return errors.deadline_exceeded(self._address, deadline)
        if code.name in TEMPORARY_GRPC_CODES:  # a request that the client itself cancels does not end here
            return await self._perhaps_temporary(code, details)
        if code == grpc.StatusCode.NOT_FOUND or names.UNKNOWN_VERSION_LABEL in details:
            return errors.model_not_found(self._address, self._model, details)
        if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION):
            return errors.refused(self._address, details)
        return errors.failed(self._address, f"{code.name} {details}")

    async def _perhaps_temporary(self, code: Any, details: str) -> ServingError:
        """The error for a temporary code. Its text tells whether gRPC used it for another fault."""
        if any(text in details for text in _NO_CONNECTION):
            return await self._no_connection(details)
        if "larger than max" in details:
            return errors.refused(self._address, f"{details}; a smaller --batch-size may help")
        return errors.unavailable(self._address, f"{code.name} {details}")

    async def _no_connection(self, details: str) -> ServingError:
        if not self._was_answered and self._proxy is None and self._port is not None:
            explained = await explain_failure(self._address, self._host, self._port, self._protocol, details)
            if explained is not None:
                return explained
        return errors.unreachable(self._address, details)


def refuse_url(address: str) -> None:
    """Refuses the address of a REST API.

    Raises:
        UserError: if the address is a URL of HTTP.
    """
    if address.startswith(("http://", "https://")):
        raise UserError(
            "the address of a gRPC API must be HOST:PORT, and a URL needs --transport rest. "
            f"Received: {address!r}"
        )


def channel_options(address: str) -> list[tuple[str, int]]:
    """Options of a channel to a server."""
    may_use_proxy = not is_this_machine(host_and_port(address)[0])
    return [*_CHANNEL_OPTIONS, ("grpc.enable_http_proxy", int(may_use_proxy))]


def predict_request(model: ServedModel, signature: str, images: Batch) -> predict_pb2.PredictRequest:
    """The message of a predict request.

    Args:
        model: the model that is asked.
        signature: name of the signature.
        images: the images, as the signature takes them.
    """
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model.name
    request.model_spec.signature_name = signature
    if model.version is not None:
        request.model_spec.version.value = model.version
    if model.label is not None:
        request.model_spec.version_label = model.label
    if isinstance(images, np.ndarray):
        request.inputs[names.IMAGE].CopyFrom(tf.make_tensor_proto(images))
        return request
    tensor = request.inputs[names.IMAGE_BYTES]
    tensor.dtype = tf.string.as_datatype_enum
    tensor.tensor_shape.dim.add().size = len(images)
    tensor.string_val.extend(images)
    return request


def _open_channel(address: str, tls: Tls | None) -> Any:
    if tls is None:
        return grpc.insecure_channel(address, options=channel_options(address))
    credentials = grpc.ssl_channel_credentials(_pem(tls.ca), _pem(tls.key), _pem(tls.certificate))
    return grpc.secure_channel(address, credentials, options=channel_options(address))


def _pem(path: str | None) -> bytes | None:
    try:
        return Path(path).read_bytes() if path is not None else None
    except OSError as error:
        raise UserError(f"cannot read the PEM file {path!r}: {error.strerror}") from None


async def _result_of(call: Any) -> Any:
    """Awaits a call of gRPC's threaded API: `grpc.aio` cannot be used with several event loops."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def wake_up(_: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nobody waits any more
            loop.call_soon_threadsafe(done.set)

    call.add_done_callback(wake_up)
    try:
        await done.wait()
    except asyncio.CancelledError:
        call.cancel()
        raise
    return call.result()


def _values(output: str, tensor: Any) -> Sequence[Any]:
    values = tf.make_ndarray(tensor)
    if tensor.dtype != tf.string.as_datatype_enum or output.endswith(names.BYTES_SUFFIX):
        return values
    return [text.decode() for text in values]
