"""What can go wrong between client and server; each message is one line that says what to do."""

from tfrecords_builder.errors import UserError


class ServingError(UserError):
    """The server did not answer a request."""


class ServerUnreachable(ServingError):
    """No connection could be made."""


class ServerUnavailable(ServingError):
    """The server was reached, but was overloaded, restarting, or closed the connection: worth another try."""


class DeadlineExceeded(ServingError):
    """The answer did not come in time."""


class ModelNotFound(ServingError):
    """The server does not serve this model, version or label."""


class RequestRefused(ServingError):
    """The server understood the request as wrong; the same request would be refused again."""


class ServerFailed(ServingError):
    """The server failed, or answered something that is no answer to this request."""
