"""`python -m serving.local MODELS`: serves exported models here, over TensorFlow Serving's two APIs.

For laptops, tests and CI; in production, run TensorFlow Serving (`Dockerfile.serving`). Options that have the
name of one of TensorFlow Serving's flags mean the same, and read the same files.
"""

import contextlib
import dataclasses
import logging
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import tensorflow as tf
import tyro

from serving.server import model_config
from serving.server.batching import Batching
from serving.server.config_files import read_model_config, read_monitoring_config
from serving.server.grpc_server import GrpcServer, read_credentials
from serving.server.http_server import HttpServer, bind
from serving.server.metrics import DEFAULT_PATH, Metrics
from serving.server.models import Models, Upkeep
from serving.server.rest_api import RestApi, RestLimits
from serving.server.versions import Retries
from serving.version_folders import version_folders
from tfrecords_builder import storage
from tfrecords_builder.cli.command import run
from tfrecords_builder.errors import UserError

GRACE_SECONDS = 30.0
"""How long requests that were accepted may take to be answered when the server is told to stop."""
_REST_THREADS = 64  # as those of gRPC, they wait most of the time

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class LocalConfig:
    """Serves the models of a folder over gRPC and REST, as TensorFlow Serving does, without Docker.

    New versions in the folder take over by themselves. For laptops, tests and CI: in production, run
    TensorFlow Serving.
    """

    models: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="MODELS")] = None
    """Folder of models, as `python -m serving.export` writes it, of which the latest versions are served; a
    path or a URL. Left out with --model-config-file."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 lets other machines in."""
    grpc_port: int = 8500
    """Port for gRPC; 0 chooses a free one."""
    rest_port: int = 8501
    """Port for REST; 0 chooses a free one."""
    model_config_file: str | None = None
    """ModelServerConfig that says which models, versions and labels are served."""
    model_config_file_poll_wait_seconds: float = 0.0
    """Between two readings of it; 0: it is read once."""
    file_system_poll_wait_seconds: float = 1.0
    """Between two looks for new versions."""
    allow_version_labels_for_unavailable_models: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Let a new label name a version that does not answer yet, as those of the first configuration do."""
    max_num_load_retries: int = 5
    """Tries of a version that cannot be loaded, after the first."""
    load_retry_interval_micros: int = 60_000_000
    """Between two of them, in microseconds."""
    enable_batching: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Join concurrent requests."""
    batching_parameters_file: str | None = None
    """BatchingParameters that say how; needs --enable-batching."""
    monitoring_config_file: str | None = None
    """MonitoringConfig that switches on metrics for Prometheus, at the REST port."""
    enable_grpc_healthcheck_service: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Answer gRPC's health service too."""
    ssl_config_file: str | None = None
    """SSLConfig that switches on TLS, or mutual TLS, for gRPC; REST then still listens without."""
    rest_api_timeout_in_ms: int = 30_000
    """For a request over REST."""
    max_concurrent_requests: int = 256
    """Of each API; more are refused with RESOURCE_EXHAUSTED (429)."""

    def __post_init__(self) -> None:
        for port in (self.grpc_port, self.rest_port):
            if not 0 <= port < 1 << 16:
                raise ValueError(f"ports must be 0 to 65535. Received: {port}")
        if (self.models is None) == (self.model_config_file is None):
            raise ValueError(
                "either MODELS or --model-config-file is needed. Received: "
                + ("none" if self.models is None else "both")
            )
        if self.batching_parameters_file is not None and not self.enable_batching:
            raise ValueError(
                "--batching-parameters-file needs --enable-batching. Received: "
                f"{self.batching_parameters_file}"
            )
        waits = (self.model_config_file_poll_wait_seconds, self.max_num_load_retries)
        if min(*waits, self.load_retry_interval_micros) < 0 or self.file_system_poll_wait_seconds <= 0:
            raise ValueError(
                "waits and retries must be at least 0, file_system_poll_wait_seconds above. Received: "
                f"{waits}, {self.load_retry_interval_micros}, {self.file_system_poll_wait_seconds}"
            )
        if min(self.rest_api_timeout_in_ms, self.max_concurrent_requests) < 1:
            raise ValueError(
                "rest_api_timeout_in_ms and max_concurrent_requests must be at least 1. Received: "
                f"{self.rest_api_timeout_in_ms}, {self.max_concurrent_requests}"
            )


@dataclasses.dataclass(frozen=True)
class Ports:
    """Where a running server listens."""

    grpc: int
    rest: int


@contextlib.contextmanager
def serving(config: LocalConfig) -> Iterator[Ports]:
    """Serves until the context ends, then answers what it has accepted.

    Raises:
        UserError: if a file or a model is not what it should be, or a port is in use.
    """
    metrics_path = _metrics_path(config)
    credentials = read_credentials(config.ssl_config_file) if config.ssl_config_file else None
    model_list, upkeep = _model_list(config), _upkeep(config)
    with contextlib.ExitStack() as stack:
        listener = _bind_rest(config)
        stack.callback(listener.close)
        grpc_server = _bind_grpc(config, credentials)
        stack.callback(lambda: grpc_server.stop(0).wait())
        models = Models(model_list, upkeep)
        stack.callback(models.stop)
        metrics = Metrics()
        executor = ThreadPoolExecutor(_REST_THREADS, thread_name_prefix="rest")
        stack.callback(executor.shutdown)
        limits = RestLimits(config.max_concurrent_requests, config.rest_api_timeout_in_ms / 1000)
        http_server = HttpServer(
            RestApi(models, metrics, executor, limits, metrics_path), listener, GRACE_SECONDS
        )
        grpc_server.start(models, metrics)
        http_server.start()
        for name, versions in models.serving().items():
            logger.info("serving version %s of %s", ", ".join(map(str, sorted(versions))) or "none yet", name)
        try:
            yield Ports(grpc_server.port, listener.getsockname()[1])
        finally:
            http_server.stop()
            grpc_server.stop(GRACE_SECONDS).wait()
            http_server.join()


def _model_list(config: LocalConfig) -> Any:
    if config.model_config_file is not None:
        return read_model_config(config.model_config_file)
    return model_config.of_folder(_base_paths(str(config.models)))


def _base_paths(models: str) -> dict[str, str]:
    if not tf.io.gfile.isdir(models):
        raise UserError(f"no folder {models!r}: export a run with `python -m serving.export RUN {models}`")
    folder = models if "://" in models else str(Path(models).absolute())
    names = sorted(name.rstrip("/") for name in tf.io.gfile.listdir(models))
    base_paths = {name: storage.join(folder, name) for name in names}
    found = {
        name: path for name, path in base_paths.items() if tf.io.gfile.isdir(path) and version_folders(path)
    }
    if not found:
        raise UserError(
            f"{models!r} has no model, that is no NAME/VERSION/saved_model.pb: export a run with "
            f"`python -m serving.export RUN {models}`"
        )
    return found


def _upkeep(config: LocalConfig) -> Upkeep:
    batching = None
    if config.enable_batching:
        file = config.batching_parameters_file
        batching = Batching.read(file) if file is not None else Batching()
    return Upkeep(
        poll_seconds=config.file_system_poll_wait_seconds,
        config_file=config.model_config_file,
        config_poll_seconds=config.model_config_file_poll_wait_seconds,
        retries=Retries(config.max_num_load_retries, config.load_retry_interval_micros / 1e6),
        labels_for_unavailable=config.allow_version_labels_for_unavailable_models,
        batching=batching,
    )


def _metrics_path(config: LocalConfig) -> str | None:
    if config.monitoring_config_file is None:
        return None
    prometheus = read_monitoring_config(config.monitoring_config_file).prometheus_config
    return (prometheus.path or DEFAULT_PATH) if prometheus.enable else None


def _bind_rest(config: LocalConfig) -> Any:
    try:
        return bind(config.host, config.rest_port)
    except OSError as error:
        raise _port_error("REST", config.host, config.rest_port, error.strerror or str(error)) from None


def _bind_grpc(config: LocalConfig, credentials: Any | None) -> GrpcServer:
    try:
        return GrpcServer(
            config.host,
            config.grpc_port,
            credentials,
            concurrent=config.max_concurrent_requests,
            with_health=config.enable_grpc_healthcheck_service,
        )
    except RuntimeError:
        reason = "address in use or not available"
        raise _port_error("gRPC", config.host, config.grpc_port, reason) from None


def _port_error(api: str, host: str, port: int, reason: str) -> UserError:
    return UserError(
        f"cannot listen at {host}:{port} for {api}: {reason}; stop what uses it, or choose another "
        f"--{api.lower()}-port (0: any free one)"
    )


def main(config: LocalConfig) -> None:
    """Serves until SIGINT or SIGTERM."""
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    with stop_signals() as told, serving(config) as ports:
        line = f"ready: gRPC {config.host}:{ports.grpc}, REST http://{config.host}:{ports.rest}/v1/models"
        print(line, flush=True)  # noqa: T201
        told.recv(1)


@contextlib.contextmanager
def stop_signals() -> Iterator[socket.socket]:
    """A socket that can be read once the process is told to stop.

    An Event that a handler sets would not do: the handler may interrupt the wait where it holds the Event's
    lock, and does not run at all while the signal came to another thread and this one sleeps.
    """
    told, teller = socket.socketpair()
    with told, teller:
        teller.setblocking(False)
        signal.set_wakeup_fd(teller.fileno())
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, lambda *_: None) for number in numbers]
        try:
            yield told
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)
            signal.set_wakeup_fd(-1)


if __name__ == "__main__":
    run(main, LocalConfig, "python -m serving.local")
