"""The options that say which server is called; the commands that call one share them."""

import dataclasses
from typing import Annotated

import tyro

from serving.client.connection import Client, Limits
from serving.client.transport import DEFAULT_ADDRESSES, ServedModel, Tls, TransportName


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Where the server is, and what is asked of it."""

    address: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """Of the server; for REST also a URL. By default port 8500 (gRPC) or 8501 (REST) of this machine."""
    transport: TransportName = "grpc"
    """API to call."""
    model: str = "pneumonia"
    """Name of the served model."""
    version: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Version of the model; by default the server's latest."""
    label: str | None = None
    """Label of the version, as in `stable`, instead of its number."""
    batch_size: int = Limits.batch_size
    """Most images in a request."""
    in_flight: int = Limits.in_flight
    """Most requests at a time."""
    deadline: float = Limits.deadline
    """For each try of a request, in seconds."""
    retries: int = Limits.retries
    """Most tries of a request after the first, with growing pauses, while the server is busy or away."""
    tls: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Encrypt; implied by the options below."""
    tls_ca: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """PEM file of the certificates to trust; by default the system's."""
    tls_certificate: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """PEM file of the client's own certificate, for mutual TLS."""
    tls_key: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """PEM file of its key."""

    def __post_init__(self) -> None:
        _ = self.served_model, self.encryption, self.limits  # each checks its own

    @property
    def server(self) -> str:
        """The address, given or not."""
        return self.address or DEFAULT_ADDRESSES[self.transport]

    @property
    def served_model(self) -> ServedModel:
        """The model that is asked."""
        return ServedModel(self.model, self.version, self.label)

    @property
    def encryption(self) -> Tls | None:
        """None for unencrypted connections."""
        files = (self.tls_ca, self.tls_certificate, self.tls_key)
        return Tls(*files) if self.tls or any(files) else None

    @property
    def limits(self) -> Limits:
        """Of batches, time and tries."""
        return Limits(
            batch_size=self.batch_size,
            in_flight=self.in_flight,
            deadline=self.deadline,
            retries=self.retries,
        )

    def connect(self) -> Client:
        """The client of that server."""
        return Client(
            self.server, self.transport, model=self.served_model, limits=self.limits, tls=self.encryption
        )
