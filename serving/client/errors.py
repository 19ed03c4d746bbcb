"""What can go wrong between client and server. Each message is one line that says what to do."""

from tfrecords_builder.errors import UserError

_LONGEST_DETAIL = 500  # characters of a server's own message


class ServingError(UserError):
    """The server did not answer a request."""


class ServerUnreachable(ServingError):
    """No connection to the server could be made."""


class WrongProtocol(ServerUnreachable):
    """What answers at the address speaks something else: another API, or with another encryption."""


class ServerUnavailable(ServingError):
    """The server was reached, but it is overloaded or restarting, or it closed the connection.

    The same request may succeed later.
    """


class DeadlineExceeded(ServingError):
    """The answer did not arrive within the deadline."""


class ModelNotFound(ServingError):
    """The server does not serve this model, version or label."""


class RequestRefused(ServingError):
    """The server considers the request wrong. It would refuse the same request again."""


class ServerFailed(ServingError):
    """The server failed, or its reply does not answer the request."""


def unreachable(address: str, detail: str) -> ServerUnreachable:
    """The error for a connection that could not be made."""
    return ServerUnreachable(
        f"no server at {address}: {one_line(detail)}; start one with `python -m serving.local MODELS`, "
        "or say where it is with --address"
    )


def wrong_protocol(address: str, difference: str, remedy: str) -> WrongProtocol:
    """The error for a server that speaks something else than the client."""
    return WrongProtocol(f"the server at {address} {difference}: {remedy}")


def not_trusted(address: str, detail: str) -> ServerUnreachable:
    """The error for an encrypted connection that one side refuses."""
    return ServerUnreachable(
        f"the encrypted connection to {address} was refused: {one_line(detail)}; --tls-ca must hold the "
        "certificates that signed the server's, and --tls-certificate and --tls-key what the server asks for"
    )


def unavailable(address: str, detail: str) -> ServerUnavailable:
    """The error for a server that cannot answer at the moment."""
    return ServerUnavailable(f"the server at {address} is not available: {one_line(detail)}")


def deadline_exceeded(address: str, deadline: float) -> DeadlineExceeded:
    """The error for an answer that did not arrive within the deadline, in seconds."""
    return DeadlineExceeded(
        f"no answer from {address} within {deadline:g} s: try a longer --deadline or a smaller --batch-size"
    )


def model_not_found(address: str, model: object, detail: str) -> ModelNotFound:
    """The error for a server that does not serve the model."""
    return ModelNotFound(f"the server at {address} does not serve {model}: {one_line(detail)}")


def refused(address: str, detail: str) -> RequestRefused:
    """The error for a request that the server considers wrong."""
    return RequestRefused(f"the server at {address} refused the request: {one_line(detail)}")


def another_server(address: str, detail: str) -> ServerFailed:
    """The error for a reply over HTTP that TensorFlow Serving does not give."""
    return ServerFailed(
        f"what answers at {address} is not TensorFlow Serving's REST API: {one_line(detail)}; say where that "
        "is with --address"
    )


def failed(address: str, detail: str) -> ServerFailed:
    """The error for a server that failed."""
    return ServerFailed(f"the server at {address} failed: {one_line(detail)}")


def one_line(detail: str) -> str:
    """A server's own message, without line breaks and cut to a length that can be read."""
    return " ".join(detail.split())[:_LONGEST_DETAIL]
