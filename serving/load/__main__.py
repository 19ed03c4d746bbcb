"""`python -m serving.load`: puts a server under load over real connections, and measures its answers."""

import asyncio
import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import tyro

from serving.client.protocols import Protocol, explain_failure
from serving.client.transport import TransportName, host_and_port
from serving.load.clients import Connect, run_clients
from serving.load.connections import GrpcConnection, RestConnection, grpc_requests, rest_requests
from serving.load.memory import memory_readings
from serving.load.report import print_table, refuse_foreign_files, summary, write
from serving.load.sizes import DEFAULT_SIZES, Size
from serving.names import DEFAULT_ADDRESSES, MODEL_NAME
from tfrecords_builder import storage
from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run
from tfrecords_builder.decoding.formats import FORMATS, expected
from tfrecords_builder.errors import UserError

EXIT_ERRORS = 1


@dataclasses.dataclass(frozen=True)
class LoadConfig:
    """Sends images to a server from many clients at the same time, and reports how fast it answers.

    The exit code is 0 if all requests were answered, and 1 if some failed.
    """

    address: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """Address of the server. By default 127.0.0.1, port 8500 (gRPC) or 8501 (REST)."""
    transport: TransportName = "grpc"
    """API of the server to call."""
    model: str = MODEL_NAME
    """Name of the served model."""
    signature: Literal["serving_default", "gradcam"] = "serving_default"
    """Signature to call: `serving_default` predicts, `gradcam` also explains."""
    clients: int = 32
    """Number of clients. Each has its own connection, and at most one request in flight."""
    seconds: float = 30.0
    """How long requests are sent, in seconds."""
    rate: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None
    """Requests per second of all clients. By default each client sends again as soon as it is answered."""
    batch_size: int = 1
    """Images in a request."""
    sizes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SIZE [SIZE ...]")] = DEFAULT_SIZES
    """Sizes in pixels of the synthetic radiographs that are sent, and their shares: WIDTHxHEIGHT:SHARE."""
    images: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="DIR",
            help=f"Folder of {expected(FORMATS)} files to send instead of synthetic radiographs.",
        ),
    ] = None
    deadline: float = 60.0
    """Seconds until each request must be answered."""
    export: Annotated[str | None, tyro.conf.arg(metavar="MODELS")] = None
    """Folder of models whose newest version is timed too, without a server, before and after the load."""
    bare_batch_size: int = 32
    """Images in a batch when the model is timed without a server."""
    bare_seconds: float = 10.0
    """How long the model is timed without a server, each time, in seconds."""
    server_pid: Annotated[int | None, tyro.conf.arg(metavar="PID")] = None
    """Process ID of a server on this machine. Its resident memory is read every 30 s and reported."""
    output: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """JSON file for the figures, a path or a URL. A picture of the latencies is written beside it, as a PNG
    file. Files of another origin are not overwritten."""

    def __post_init__(self) -> None:
        for name in ("clients", "batch_size", "bare_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Received: {getattr(self, name)}")
        for name in ("seconds", "rate", "deadline", "bare_seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0. Received: {value}")
        if not self.sizes:
            raise ValueError("at least one size is needed. Received: none")
        _ = self.parsed_sizes

    @property
    def parsed_sizes(self) -> list[Size]:
        """The sizes of the synthetic images.

        Raises:
            ValueError: if one is not WIDTHxHEIGHT or WIDTHxHEIGHT:SHARE.
        """
        return [Size.parse(size) for size in self.sizes]

    @property
    def server(self) -> str:
        """Address of the server, also if it was not given."""
        return self.address or DEFAULT_ADDRESSES[self.transport]


def main(config: LoadConfig) -> int:
    """Runs the load test and reports its figures; returns the exit code."""
    if config.transport == "grpc" or config.export is not None or storage.is_url(config.output or ""):
        startup.load_tensorflow()
    if config.output is not None:
        refuse_foreign_files(config.output)
    images = _images(config)
    requests, connect = _requests(config, images)
    _check_that_server_answers(config, connect, requests[0])
    rates_without_server = _rate_without_server(config, images)
    with memory_readings(config.server_pid) as memory:
        answers = run_clients(
            connect, requests, clients=config.clients, seconds=config.seconds, rate=config.rate
        )
    rates_without_server += _rate_without_server(config, images)
    mean_rate = sum(rates_without_server) / len(rates_without_server) if rates_without_server else None
    figures = summary(answers, config.batch_size, mean_rate)
    if memory:
        figures["server_mib"] = [mib for _, mib in memory]
    settings = _settings(config, images)
    print_table(settings, figures)
    if config.output is not None:
        write(config.output, settings, figures, answers)
    return EXIT_ERRORS if answers.errors else 0


def _images(config: LoadConfig) -> list[bytes]:
    from serving.load.images import draw_images, read_folder

    return draw_images(config.parsed_sizes) if config.images is None else read_folder(config.images)


def _requests(config: LoadConfig, images: Sequence[bytes]) -> tuple[list[bytes], Connect]:
    """The serialized requests, and what opens a client's connection."""
    endless = itertools.cycle(images)
    batches = [list(itertools.islice(endless, config.batch_size)) for _ in images]
    if config.transport == "grpc":
        connect: Connect = functools.partial(GrpcConnection, config.server, config.deadline)
        return grpc_requests(batches, config.model, config.signature), connect
    connect = functools.partial(RestConnection, config.server, config.deadline, config.model)
    return rest_requests(batches, config.signature), connect


def _check_that_server_answers(config: LoadConfig, connect: Connect, request: bytes) -> None:
    connection = connect()
    error = connection.send(request)
    connection.close()
    if error is None:
        return
    host, port = host_and_port(config.server)
    wanted = Protocol(grpc=config.transport == "grpc", encrypted=False)
    if port is not None:
        explained = asyncio.run(explain_failure(config.server, host, port, wanted, refusal=None))
        if explained is not None:
            raise explained
    raise UserError(
        f"the server at {config.server} did not answer over {config.transport}: {error}; "
        f"check that it is running and serves the model {config.model!r}"
    )


def _rate_without_server(config: LoadConfig, images: Sequence[bytes]) -> list[float]:
    """Images per second of the exported function in this process; empty if it is not to be timed."""
    if config.export is None:
        return []
    from serving.load.without_server import images_per_second
    from serving.version_folders import newest_version

    version = newest_version(config.export, config.model)
    return [images_per_second(version, config.signature, images, config.bare_batch_size, config.bare_seconds)]


def _settings(config: LoadConfig, images: Sequence[bytes]) -> dict[str, Any]:
    return {
        "transport": config.transport,
        "signature": config.signature,
        "clients": config.clients,
        "loop": "closed" if config.rate is None else f"open at {config.rate:g}/s",
        "images per request": config.batch_size,
        "images": config.images or " ".join(config.sizes),
        "mean kB": round(sum(map(len, images)) / len(images) / 1000),
        "bare batch": config.bare_batch_size if config.export else None,
    }


if __name__ == "__main__":
    run(main, LoadConfig, "python -m serving.load")
