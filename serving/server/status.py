"""The errors that requests get: TensorFlow's status codes, over gRPC and over HTTP.

See docs/serving-contract.md, section 3.
"""

import grpc
import tensorflow as tf

HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
"""HTTP status by status code. All other codes are 500."""

_CODE_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


class StatusError(Exception):
    """A request fails with this status."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """The status of the HTTP reply."""
        return HTTP_STATUS.get(self.code, 500)


def invalid_argument(message: str) -> StatusError:
    """The error for a request that is wrong whatever the server serves."""
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)


def from_tensorflow(error: tf.errors.OpError) -> StatusError:
    """The status of a graph that failed, with the message of TensorFlow's C++ code."""
    message = error.message.removeprefix("Graph execution error:").strip()  # the prefix is Python's
    return StatusError(_CODE_BY_NUMBER.get(error.error_code, grpc.StatusCode.UNKNOWN), message)
