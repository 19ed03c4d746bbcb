"""`python -m serving.load`: puts a server under load over real connections."""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from serving.load import images
from serving.load.clients import Connect, run_clients
from serving.load.connections import GrpcConnection, RestConnection, grpc_requests, rest_requests
from serving.load.memory import watched
from serving.load.report import print_table, summary, write
from serving.version_folders import newest_version
from tfrecords_builder.cli.command import run
from tfrecords_builder.errors import UserError

DEFAULT_SIZES = ("1300x950:6", "1858x1317:2", "1024x1024:2")
"""As X-rays are: mostly the size of the public dataset's files, some larger, some of another hospital."""
DEFAULT_ADDRESSES = {"grpc": "127.0.0.1:8500", "rest": "127.0.0.1:8501"}

_EXIT_ERRORS = 1


@dataclasses.dataclass(frozen=True)
class LoadConfig:
    """Sends images to a server from many clients at a time, and says how fast it answered.

    Exit code 1 if a request was not answered.
    """

    address: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """Of the server; by default port 8500 (gRPC) or 8501 (REST) of this machine."""
    transport: Literal["grpc", "rest"] = "grpc"
    """API to call."""
    model: str = "pneumonia"
    """Name of the served model."""
    signature: Literal["serving_default", "gradcam"] = "serving_default"
    """What is asked."""
    clients: int = 32
    """Connections, each with one request at a time."""
    seconds: float = 30.0
    """How long requests are sent."""
    rate: float | None = None
    """Requests per second of an open loop; by default clients send again as soon as they are answered."""
    batch_size: int = 1
    """Images in a request."""
    sizes: tuple[str, ...] = DEFAULT_SIZES
    """Mix of synthetic radiographs (JPEG, quality 80), WIDTHxHEIGHT:SHARE each."""
    images: str | None = None
    """Folder of JPEG or PNG files to send instead."""
    deadline: float = 60.0
    """For each request, in seconds."""
    export: Annotated[str | None, tyro.conf.arg(metavar="MODELS")] = None
    """Folder of models whose newest version is timed too, in this process, before and after the load."""
    bare_batch_size: int = 32
    """Images of its batches."""
    bare_seconds: float = 10.0
    """How long it is timed each time."""
    server_pid: int | None = None
    """Process of a server on this machine whose memory is read, every 30 s, and reported."""
    output: str | None = None
    """JSON file for the figures; a picture goes beside it."""

    def __post_init__(self) -> None:
        counts = (self.clients, self.batch_size, self.bare_batch_size)
        durations = (
            self.seconds,
            self.deadline,
            self.bare_seconds,
            *([self.rate] if self.rate is not None else []),
        )
        if min(counts) < 1 or min(durations) <= 0:
            raise ValueError(
                "clients and batch sizes must be at least 1, seconds and rates above 0. "
                f"Received: {counts}, {durations}"
            )
        for size in self.sizes:
            images.Size.parse(size)
        if not self.sizes:
            raise ValueError("at least one size is needed. Received: none")

    @property
    def server(self) -> str:
        """The address, given or not."""
        return self.address or DEFAULT_ADDRESSES[self.transport]


def main(config: LoadConfig) -> int:
    """Runs the load and reports."""
    files = _images(config)
    requests, connect = _requests(config, files)
    _check_answers(config, connect, requests)
    bare = [_bare(config, files)] if config.export else []
    with watched(config.server_pid) as memory:
        answers = run_clients(
            connect, requests, clients=config.clients, seconds=config.seconds, rate=config.rate
        )
    bare += [_bare(config, files)] if config.export else []
    figures = summary(answers, config.batch_size, sum(bare) / len(bare) if bare else None)
    if memory:
        figures["server_mib"] = [mib for _, mib in memory]
    settings = _settings(config, files)
    print_table(settings, figures)
    if config.output is not None:
        write(Path(config.output), settings, figures, answers)
    return _EXIT_ERRORS if answers.errors else 0


def _images(config: LoadConfig) -> list[bytes]:
    if config.images is not None:
        return images.from_folder(config.images)
    return images.drawn([images.Size.parse(size) for size in config.sizes])


def _requests(config: LoadConfig, files: Sequence[bytes]) -> tuple[list[bytes], Connect]:
    turns = itertools.cycle(files)
    batches = [list(itertools.islice(turns, config.batch_size)) for _ in files]
    if config.transport == "grpc":
        connect: Connect = functools.partial(GrpcConnection, config.server, config.deadline)
        return grpc_requests(batches, config.model, config.signature), connect
    connect = functools.partial(RestConnection, config.server, config.deadline, config.model)
    return rest_requests(batches, config.signature), connect


def _check_answers(config: LoadConfig, connect: Connect, requests: Sequence[bytes]) -> None:
    connection = connect()
    error = connection.send(requests[0])
    connection.close()
    if error is not None:
        raise UserError(
            f"the server at {config.server} did not answer over {config.transport}: {error}; "
            "is it running, and does it serve this model?"
        )


def _bare(config: LoadConfig, files: Sequence[bytes]) -> float:
    from serving.load import bare  # here: it loads TensorFlow, which the load itself does not need

    return bare.images_per_second(
        newest_version(str(config.export), config.model),
        config.signature,
        files,
        config.bare_batch_size,
        config.bare_seconds,
    )


def _settings(config: LoadConfig, files: Sequence[bytes]) -> dict[str, Any]:
    return {
        "transport": config.transport,
        "signature": config.signature,
        "clients": config.clients,
        "loop": "closed" if config.rate is None else f"open at {config.rate:g}/s",
        "images per request": config.batch_size,
        "images": config.images or " ".join(config.sizes),
        "mean kB": round(sum(map(len, files)) / len(files) / 1000),
        "bare batch": config.bare_batch_size if config.export else None,
    }


if __name__ == "__main__":
    run(main, LoadConfig, "python -m serving.load")
