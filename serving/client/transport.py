"""What gRPC and REST have in common: where the server is, what is asked of it, and how it is secured."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, Protocol

from serving.client.answers import Outputs
from serving.client.errors import DeadlineExceeded, ModelNotFound, RequestRefused, ServerUnreachable

TransportName = Literal["grpc", "rest"]

DEFAULT_ADDRESSES: dict[TransportName, str] = {"grpc": "127.0.0.1:8500", "rest": "127.0.0.1:8501"}
IMAGE_INPUT = "image_bytes"
BYTES_SUFFIX = "_bytes"  # string outputs of such names are bytes, others text; over REST they are base64
UNKNOWN_LABEL = (
    "Unrecognized servable version label"  # TensorFlow Serving's text: the status is a general one
)


@dataclasses.dataclass(frozen=True)
class Tls:
    """Encryption, and with `certificate` and `key` the client's own identity (mutual TLS). Files are PEM."""

    ca: str | None = None
    """Certificates to trust; None for those of the system."""
    certificate: str | None = None
    """The client's certificate chain."""
    key: str | None = None
    """The key of `certificate`."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError(
                f"certificate and key go together. Received: certificate={self.certificate}, key={self.key}"
            )


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """Which model of the server is asked."""

    name: str = "pneumonia"
    version: int | None = None
    """Its number; None for the latest, or for `label`."""
    label: str | None = None
    """The label that the server's configuration gives to a version, as in `stable`."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("the name of the model is empty")
        if self.version is not None and self.label is not None:
            raise ValueError(
                f"a version or a label, not both. Received: version={self.version}, label={self.label!r}"
            )
        if self.version is not None and self.version < 0:
            raise ValueError(f"version must be at least 0. Received: {self.version}")

    def __str__(self) -> str:
        if self.version is not None:
            return f"model {self.name!r}, version {self.version}"
        return f"model {self.name!r}" + (f", label {self.label!r}" if self.label is not None else "")


class Transport(Protocol):
    """One way to a server. Its coroutines belong to one event loop."""

    async def call(self, signature: str, images: Sequence[bytes], deadline: float) -> Outputs:
        """Sends one batch of encoded images.

        Args:
            signature: of the SavedModel.
            images: encoded image files.
            deadline: in seconds, for the whole call.

        Raises:
            ServingError: of the kind that tells what happened.
        """

    async def close(self) -> None:
        """Closes the connections."""


def unreachable(address: str, detail: str) -> ServerUnreachable:
    """For a connection that could not be made."""
    return ServerUnreachable(
        f"no server at {address}: {one_line(detail)}; start one with `python -m serving.local MODELS`, "
        "or say where it is with --address"
    )


def not_found(address: str, model: ServedModel, detail: str) -> ModelNotFound:
    """For a server without the model."""
    return ModelNotFound(f"the server at {address} does not serve {model}: {one_line(detail)}")


def too_late(address: str, deadline: float) -> DeadlineExceeded:
    """For an answer that did not come in time."""
    return DeadlineExceeded(
        f"no answer from {address} within {deadline:g} s: try a longer --deadline or a smaller --batch-size"
    )


def refused(address: str, detail: str) -> RequestRefused:
    """For a request that is wrong in the server's eyes."""
    return RequestRefused(f"the server at {address} refused the request: {one_line(detail)}")


def one_line(detail: str) -> str:
    """A server's own words, without line breaks, and not without end."""
    return " ".join(detail.split())[:500]
