"""What gRPC and REST have in common: which model is asked, how the connection is encrypted, and the call."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, Protocol
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from serving.client.answers import Reply
from serving.names import MODEL_NAME

TransportName = Literal["grpc", "rest"]
Batch = Sequence[bytes] | NDArray[np.uint8]
"""The images of a request: encoded image files, or preprocessed images uint8 (batch, side, side, 1) for the
signature `pixels`."""


@dataclasses.dataclass(frozen=True)
class Tls:
    """How a connection is encrypted. All files are PEM files.

    Raises:
        ValueError: for a certificate without its key, or a key without its certificate.
    """

    ca: str | None = None
    """File of the certificates to trust; None for those that the system trusts."""
    certificate: str | None = None
    """File of the client's own certificate chain, for servers that ask for one (mutual TLS)."""
    key: str | None = None
    """File of the private key of `certificate`."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError(
                f"certificate and key go together. Received: certificate={self.certificate}, key={self.key}"
            )


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """The model of the server that is asked.

    Raises:
        ValueError: for an empty name, a negative version, or a version and a label together.
    """

    name: str = MODEL_NAME
    """Name of the model."""
    version: int | None = None
    """Number of the version; None for the latest version, or for the one that `label` names."""
    label: str | None = None
    """Label that the server's configuration gives to a version, for example `stable`."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("the name of the model is empty")
        if self.version is not None and self.label is not None:
            raise ValueError(
                f"give a version or a label, not both. Received: version={self.version}, label={self.label!r}"
            )
        if self.version is not None and self.version < 0:
            raise ValueError(f"version must be at least 0. Received: {self.version}")

    def __str__(self) -> str:
        if self.version is not None:
            return f"model {self.name!r}, version {self.version}"
        return f"model {self.name!r}" + (f", label {self.label!r}" if self.label is not None else "")


def host_and_port(address: str) -> tuple[str, int | None]:
    """Host and port of an address; no port for addresses that are not HOST:PORT, as `unix:/path`."""
    try:
        parts = urlsplit(f"//{address}")
        return parts.hostname or "", parts.port
    except ValueError:
        return address, None


class Transport(Protocol):
    """Sends requests to one server. All its coroutines must run in one event loop."""

    async def call(self, signature: str, images: Batch, deadline: float) -> Reply:
        """Sends one batch of images, and returns what the signature answers.

        Args:
            signature: name of the SavedModel's signature.
            images: the images, as the signature takes them.
            deadline: seconds until the answer must be there.

        Raises:
            ServingError: if the server did not answer; its class says what happened.
        """

    async def close(self) -> None:
        """Closes the connections."""
