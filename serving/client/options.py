"""The command-line options that say which server is called, and how."""

import dataclasses
from typing import Annotated

import tyro

from serving.client.client import Client, Limits
from serving.client.transport import ServedModel, Tls, TransportName
from serving.names import DEFAULT_ADDRESSES, MODEL_NAME
from tfrecords_builder.cli.options import optional


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Which server and which model are called, and how."""

    address: Annotated[str | None, optional("HOST:PORT")] = None
    """Address of the server; with --transport rest also a URL. By default, the server on this machine:
    127.0.0.1:8500 for gRPC, 127.0.0.1:8501 for REST."""
    transport: TransportName = "grpc"
    """Which of the server's two APIs is called."""
    model: str = MODEL_NAME
    """Name of the served model."""
    version: Annotated[int | None, optional("N")] = None
    """Number of the version that answers. By default, the highest one that the server has loaded."""
    label: Annotated[str | None, optional("LABEL")] = None
    """Label of the version that answers, instead of its number, for example `stable`; not together with
    --version. The server's configuration gives versions their labels."""
    batch_size: int = Limits.batch_size
    """Maximum number of images in a request, at least 1."""
    in_flight: int = Limits.in_flight
    """Maximum number of requests that are sent at the same time, at least 1."""
    deadline: float = Limits.deadline
    """Seconds, above 0, to wait for the answer to each attempt of a request. After that, it has failed."""
    retries: int = Limits.retries
    """Maximum number of times, at least 0, that a request is sent again if the server is busy or restarting.
    The pauses between the attempts grow up to 5 seconds."""
    tls: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Encrypt the connection with TLS. Each of --tls-ca, --tls-certificate and --tls-key switches this on."""
    tls_ca: Annotated[str | None, optional("FILE")] = None
    """PEM file of the certificates to trust. By default, those that the system trusts are used."""
    tls_certificate: Annotated[str | None, optional("FILE")] = None
    """PEM file of the client's own certificate, for servers that ask for one (mutual TLS)."""
    tls_key: Annotated[str | None, optional("FILE")] = None
    """PEM file of the private key of the client's certificate."""

    def __post_init__(self) -> None:
        _ = self.served_model, self.encryption, self.limits  # each of them checks its settings

    @property
    def server(self) -> str:
        """Address of the server, also if it was not given."""
        return self.address or DEFAULT_ADDRESSES[self.transport]

    @property
    def served_model(self) -> ServedModel:
        """The model that is asked."""
        return ServedModel(self.model, self.version, self.label)

    @property
    def encryption(self) -> Tls | None:
        """How the connection is encrypted; None if it is not."""
        files = (self.tls_ca, self.tls_certificate, self.tls_key)
        return Tls(*files) if self.tls or any(files) else None

    @property
    def limits(self) -> Limits:
        """How much is sent at the same time, and how long the client waits."""
        return Limits(
            batch_size=self.batch_size,
            in_flight=self.in_flight,
            deadline=self.deadline,
            retries=self.retries,
        )

    def connect(self) -> Client:
        """Opens a client of this server."""
        return Client(
            self.server, self.transport, model=self.served_model, limits=self.limits, tls=self.encryption
        )
