"""The connections of the clients. Requests are serialized beforehand, so that sending them costs little."""

import contextlib
import http.client
import socket
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from serving import names
from serving.client.transport import ServedModel

MALFORMED = "MALFORMED"
"""Kind of the error of a reply that has no probabilities."""
UNKNOWN_HOST = "UNKNOWN_HOST"
"""Kind of the error of a server whose name has no address."""

WEB_HEADERS = {"Content-Type": "multipart/form-data; boundary=x-ray-x-ray-x-ray"}
"""Headers of what `web_requests` returns."""

_BOUNDARY = b"x-ray-x-ray-x-ray"
_PREDICT = "/tensorflow.serving.PredictionService/Predict"


class Connection(Protocol):
    """Sends requests, one after another."""

    def send(self, request: bytes) -> str | None:
        """Sends a serialized request and waits for the reply.

        Returns:
            None if the reply is complete, else the kind of the error in one word.
        """

    def close(self) -> None:
        """Closes the connection."""


def grpc_requests(batches: Sequence[Sequence[bytes]], model: str, signature: str) -> list[bytes]:
    """Serialized requests over gRPC, one for each batch of encoded images. It loads TensorFlow."""
    from serving.client.grpc_transport import predict_request

    return [predict_request(ServedModel(model), signature, batch).SerializeToString() for batch in batches]


def rest_requests(batches: Sequence[Sequence[bytes]], signature: str) -> list[bytes]:
    """Bodies of requests over REST, one for each batch of encoded images."""
    from serving.client.rest_transport import predict_body

    return [predict_body(signature, batch) for batch in batches]


def web_requests(batches: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Forms for the web service, one for each batch of encoded images."""
    opening = b'--%b\r\nContent-Disposition: form-data; name="files"; filename="xray"\r\n\r\n' % _BOUNDARY
    closing = b"--%b--\r\n" % _BOUNDARY
    return [b"".join(opening + image + b"\r\n" for image in batch) + closing for batch in batches]


class GrpcConnection:
    """A gRPC channel. Each has its own connection to the server. It loads TensorFlow.

    Args:
        address: HOST:PORT of the server.
        deadline: seconds until each request must be answered.

    Raises:
        UserError: if the address is a URL of HTTP.
    """

    def __init__(self, address: str, deadline: float) -> None:
        import grpc

        from serving.client.grpc_transport import channel_options, refuse_url

        refuse_url(address)
        self._deadline = deadline
        self._error: type[Exception] = grpc.RpcError
        self._channel: Any = grpc.insecure_channel(address, channel_options(address))
        self._predict: Any = self._channel.unary_unary(_PREDICT)  # takes and returns serialized messages

    def send(self, request: bytes) -> str | None:
        """See `Connection.send`."""
        try:
            reply = self._predict(request, timeout=self._deadline)
        except self._error as error:
            return str(error.code().name)  # type: ignore[attr-defined]
        return None if names.PROBABILITY.encode() in reply else MALFORMED

    def close(self) -> None:
        """See `Connection.close`."""
        self._channel.close()


class HttpConnection:
    """An HTTP connection that is kept open between requests.

    Args:
        address: HOST:PORT or URL of the server.
        deadline: seconds until each request must be answered.
        path: path that requests are sent to.
        headers: headers of every request.

    Raises:
        UserError: if the address is neither HOST:PORT nor a URL of HTTP.
    """

    def __init__(
        self, address: str, deadline: float, path: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        from serving.client.rest_transport import base_url, port_of

        url = base_url(address, tls=None)
        is_encrypted = url.scheme == "https"
        connection = http.client.HTTPSConnection if is_encrypted else http.client.HTTPConnection
        self._connection = connection(url.host, port_of(url), timeout=deadline)
        self._path = url.path.rstrip("/") + path
        self._headers = dict(headers)

    def send(self, request: bytes) -> str | None:
        """See `Connection.send`."""
        try:
            self._connection.request("POST", self._path, request, self._headers)
            response = self._connection.getresponse()
            reply = response.read()
        except (OSError, http.client.HTTPException) as error:
            with contextlib.suppress(OSError):
                self._connection.close()  # the next request opens it again
            return UNKNOWN_HOST if isinstance(error, socket.gaierror) else type(error).__name__
        if response.status != http.HTTPStatus.OK:
            return str(response.status)
        return None if f'"{names.PROBABILITY}"'.encode() in reply else MALFORMED

    def close(self) -> None:
        """See `Connection.close`."""
        self._connection.close()
