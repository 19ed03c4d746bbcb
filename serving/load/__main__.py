"""`python -m serving.load`: puts a server under load over real connections, and measures its answers."""

import asyncio
import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import tyro

from serving.client.protocols import Protocol, explain_failure
from serving.client.transport import ServedModel, TransportName, host_and_port
from serving.load.clients import Connect, run_clients
from serving.load.connections import (
    WEB_HEADERS,
    GrpcConnection,
    HttpConnection,
    grpc_requests,
    rest_requests,
    web_requests,
)
from serving.load.memory import memory_readings
from serving.load.report import loop, print_table, refuse_foreign_files, summary, write
from serving.load.sizes import DEFAULT_SIZES, Size
from serving.names import DEFAULT_ADDRESSES, DEFAULT_SIGNATURE, LOCAL_HOST, MODEL_NAME, WEB_PORT
from tfrecords_builder import storage
from tfrecords_builder.cli import startup
from tfrecords_builder.cli.command import run
from tfrecords_builder.cli.options import optional
from tfrecords_builder.decoding.formats import FORMATS, expected
from tfrecords_builder.errors import UserError

EXIT_ERRORS = 1


@dataclasses.dataclass(frozen=True)
class LoadConfig:
    """Sends images to a server from many clients at the same time, and reports how fast it answers.

    The exit code is 0 if all requests were answered, and 1 if some failed. It is 2 if the load test
    could not begin, for example because the server did not answer.
    """

    address: Annotated[str | None, optional("HOST:PORT")] = None
    """Address of the server; with --transport rest or web also a URL. By default, the server on this machine:
    127.0.0.1:8500 for gRPC, 127.0.0.1:8501 for REST, 127.0.0.1:8080 for the web service."""
    transport: TransportName | Literal["web"] = "grpc"
    """Which of the server's two APIs is called, or `web` for the web service in front of a server
    (`python -m serving.web`)."""
    model: str = MODEL_NAME
    """Name of the served model."""
    signature: Literal["serving_default", "gradcam"] = "serving_default"
    """Function of the model to call: `serving_default` predicts, `gradcam` predicts and explains."""
    clients: int = 32
    """Number of clients, at least 1. Each has its own connection, and waits for an answer before it sends
    again."""
    seconds: float = 30.0
    """Seconds, above 0, during which requests are sent."""
    rate: Annotated[float | None, optional("REQUESTS")] = None
    """Number of requests, above 0, that all clients together send per second, at random times. By default,
    each client sends again as soon as it is answered."""
    batch_size: int = 1
    """Number of images in a request, at least 1."""
    sizes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SIZE [SIZE ...]")] = DEFAULT_SIZES
    """Sizes of the synthetic X-rays that are sent: WIDTHxHEIGHT, each 32 to 8192 pixels, or
    WIDTHxHEIGHT:SHARE with a whole number. With `96x96:3 64x64:1`, three in four images have 96x96 pixels."""
    images: Annotated[
        str | None,
        optional("DIR", help=f"Folder of {expected(FORMATS)} files to send instead of synthetic X-rays."),
    ] = None
    deadline: float = 60.0
    """Seconds, above 0, to wait for the answer to each request. After that, the request failed."""
    export: Annotated[str | None, optional("MODELS")] = None
    """Folder of exported models. If it is given, the highest version of the model is timed in this process,
    without a server, before and after the load test. This shows how fast this machine can be at best."""
    bare_batch_size: int = 32
    """Number of images in a batch when the model is timed without a server (see --export), at least 1."""
    bare_seconds: float = 10.0
    """Seconds that each of the two timings without a server takes (see --export)."""
    server_pid: Annotated[int | None, optional("PID")] = None
    """Process ID of the server, if it runs on this machine. Its resident memory is read every 30 s and
    reported."""
    output: Annotated[str | None, optional("FILE")] = None
    """JSON file to write the figures to, a path or a URL. A picture of the latencies, a PNG file, is written
    beside it. A file that this command did not write is not overwritten."""

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
        return self.address or {**DEFAULT_ADDRESSES, "web": f"{LOCAL_HOST}:{WEB_PORT}"}[self.transport]


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
    http = functools.partial(HttpConnection, config.server, config.deadline)
    if config.transport == "web":
        path = "/v1/predict" if config.signature == DEFAULT_SIGNATURE else "/v1/explain"
        return web_requests(batches), functools.partial(http, path, WEB_HEADERS)
    from serving.client.rest_transport import predict_path

    path = predict_path(ServedModel(config.model))
    return rest_requests(batches, config.signature), functools.partial(http, path)


def _check_that_server_answers(config: LoadConfig, connect: Connect, request: bytes) -> None:
    connection = connect()
    error = connection.send(request)
    connection.close()
    if error is None:
        return
    host, port, wanted = _place(config)
    if port is not None:
        explained = asyncio.run(explain_failure(config.server, host, port, wanted, refusal=None))
        if explained is not None:
            raise explained
    raise UserError(
        f"the server at {config.server} did not answer over {config.transport}: {error}; "
        f"check that it is running and serves the model {config.model!r}"
    )


def _place(config: LoadConfig) -> tuple[str, int | None, Protocol]:
    """Host and port of the server, and the protocol that the clients speak."""
    if config.transport == "grpc":
        return *host_and_port(config.server), Protocol(grpc=True, encrypted=False)
    from serving.client.rest_transport import base_url, port_of

    url = base_url(config.server, tls=None)
    return url.host, port_of(url), Protocol(grpc=False, encrypted=url.scheme == "https")


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
        "loop": loop(config.rate),
        "images per request": config.batch_size,
        "images": config.images or " ".join(config.sizes),
        "mean kB": round(sum(map(len, images)) / len(images) / 1000),
        "bare batch": config.bare_batch_size if config.export else None,
    }


if __name__ == "__main__":
    run(main, LoadConfig, "python -m serving.load")
