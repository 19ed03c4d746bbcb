"""The connection of a client: it sends requests that were made before, to cost little itself."""

import base64
import contextlib
import http.client
import json
from collections.abc import Sequence
from typing import Any, Protocol

import grpc

from tfrecords_builder.cli.startup import load_tensorflow

SIGNATURE_INPUT = "image_bytes"
_PREDICT = "/tensorflow.serving.PredictionService/Predict"


class Connection(Protocol):
    """Sends one request at a time."""

    def send(self, request: bytes) -> str | None:
        """Returns None for a whole answer, else what went wrong, in a word."""

    def close(self) -> None:
        """Ends the connection."""


def grpc_requests(batches: Sequence[Sequence[bytes]], model: str, signature: str) -> list[bytes]:
    """Serialized PredictRequests."""
    load_tensorflow()
    from tensorflow.core.framework import types_pb2
    from tensorflow_serving.apis import predict_pb2

    requests = []
    for batch in batches:
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = model, signature
        tensor = request.inputs[SIGNATURE_INPUT]
        tensor.dtype = types_pb2.DT_STRING
        tensor.tensor_shape.dim.add(size=len(batch))
        tensor.string_val.extend(batch)
        requests.append(request.SerializeToString())
    return requests


def rest_requests(batches: Sequence[Sequence[bytes]], signature: str) -> list[bytes]:
    """Bodies in column format."""
    return [
        json.dumps(
            {
                "signature_name": signature,
                "inputs": [{"b64": base64.b64encode(image).decode()} for image in batch],
            }
        ).encode()
        for batch in batches
    ]


class GrpcConnection:
    """A channel of its own: clients of one process would share a connection otherwise."""

    def __init__(self, address: str, deadline: float) -> None:
        self._deadline = deadline
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
        ]
        self._channel = grpc.insecure_channel(address, options)
        self._predict: Any = self._channel.unary_unary(_PREDICT)  # bytes to bytes

    def send(self, request: bytes) -> str | None:
        """See `Connection`."""
        try:
            answer = self._predict(request, timeout=self._deadline)
        except grpc.RpcError as error:
            return str(error.code().name)
        return None if b"probability" in answer else "MALFORMED"

    def close(self) -> None:
        """See `Connection`."""
        self._channel.close()


class RestConnection:
    """A connection that is kept."""

    def __init__(self, address: str, deadline: float, model: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=deadline)
        self._path = f"/v1/models/{model}:predict"

    def send(self, request: bytes) -> str | None:
        """See `Connection`."""
        try:
            self._connection.request("POST", self._path, request)
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            with contextlib.suppress(OSError):
                self._connection.close()  # the next request opens it anew
            return type(error).__name__
        if response.status != http.HTTPStatus.OK:
            return str(response.status)
        return None if b'"probability"' in answer else "MALFORMED"

    def close(self) -> None:
        """See `Connection`."""
        self._connection.close()
