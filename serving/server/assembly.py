"""Builds the local server from its settings: loads the models, opens both APIs, and ends them in order."""

import contextlib
import dataclasses
import errno
import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from serving.server import model_config
from serving.server.batching import Batching
from serving.server.config_files import read_model_config, read_monitoring_config
from serving.server.config_watcher import ConfigWatcher
from serving.server.grpc_server import GrpcServer, read_credentials
from serving.server.http_server import HttpServer, listen
from serving.server.metrics import DEFAULT_PATH, Metrics
from serving.server.models import LoadingOptions, Models
from serving.server.rest_api import RestApi, RestLimits
from serving.server.settings import ServerSettings
from serving.server.version_keeper import Retries
from tfrecords_builder.errors import UserError

GRACE_SECONDS = 30.0
"""Maximum number of seconds that a server which is told to stop spends on answering accepted requests."""

_REST_THREADS = 64  # like the threads of gRPC, they wait for TensorFlow most of the time

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Ports:
    """The ports at which a running server listens."""

    grpc: int
    rest: int


@contextlib.contextmanager
def running_server(settings: ServerSettings) -> Iterator[Ports]:
    """Serves models while the block runs. At its end, requests that were accepted are still answered.

    Args:
        settings: all settings of the server.

    Yields:
        The ports at which it listens.

    Raises:
        UserError: if a configuration file or a model is damaged, or a port is in use.
    """
    metrics_path = _metrics_path(settings)
    credentials = read_credentials(settings.ssl_config_file) if settings.ssl_config_file else None
    config, options = _model_config(settings), _loading_options(settings)
    with contextlib.ExitStack() as stack:
        # The ports come first: if one is in use, the server ends before it has spent time on loading models.
        listener = stack.enter_context(_listen_for_rest(settings))
        grpc_server = _listen_for_grpc(settings, credentials)
        stack.callback(grpc_server.stop, 0)
        models = stack.enter_context(_loaded_models(settings, config, options))
        metrics = Metrics()
        executor = stack.enter_context(ThreadPoolExecutor(_REST_THREADS, thread_name_prefix="rest"))
        limits = RestLimits(settings.max_concurrent_requests, settings.rest_api_timeout_in_ms / 1000)
        rest_api = RestApi(models, metrics, executor, limits, metrics_path)
        http_server = HttpServer(rest_api, listener, GRACE_SECONDS)
        grpc_server.start(models, metrics)
        http_server.start()
        _log_versions(models)
        try:
            yield Ports(grpc_server.port, listener.getsockname()[1])
        finally:
            http_server.stop()
            grpc_server.stop(GRACE_SECONDS)
            http_server.join()


@contextlib.contextmanager
def _loaded_models(settings: ServerSettings, config: Any, options: LoadingOptions) -> Iterator[Models]:
    models = Models(config, options)
    file, seconds = settings.model_config_file, settings.model_config_file_poll_wait_seconds
    watcher = ConfigWatcher(file, seconds, models) if file is not None and seconds > 0 else None
    try:
        yield models
    finally:
        models.stop()
        if watcher is not None:
            watcher.stop()


def _log_versions(models: Models) -> None:
    for name, numbers in models.available().items():
        versions = ", ".join(map(str, sorted(numbers))) or "none yet"
        logger.info("model %s is served; available versions: %s", name, versions)


def _model_config(settings: ServerSettings) -> Any:
    if settings.model_config_file is not None:
        return read_model_config(settings.model_config_file)
    return model_config.from_folder(str(settings.models))


def _loading_options(settings: ServerSettings) -> LoadingOptions:
    return LoadingOptions(
        poll_seconds=settings.file_system_poll_wait_seconds,
        retries=Retries(settings.max_num_load_retries, settings.load_retry_interval_micros / 1e6),
        labels_for_unavailable=settings.allow_version_labels_for_unavailable_models,
        batching=_batching(settings),
    )


def _batching(settings: ServerSettings) -> Batching | None:
    if not settings.enable_batching:
        return None
    file = settings.batching_parameters_file
    return Batching.read(file) if file is not None else Batching()


def _metrics_path(settings: ServerSettings) -> str | None:
    if settings.monitoring_config_file is None:
        return None
    prometheus = read_monitoring_config(settings.monitoring_config_file).prometheus_config
    return (prometheus.path or DEFAULT_PATH) if prometheus.enable else None


def _listen_for_rest(settings: ServerSettings) -> socket.socket:
    try:
        return listen(settings.host, settings.rest_port)
    except OSError as error:
        raise _port_error("REST", settings.host, settings.rest_port, error) from None


def _listen_for_grpc(settings: ServerSettings, credentials: Any | None) -> GrpcServer:
    try:
        return GrpcServer(
            settings.host,
            settings.grpc_port,
            credentials,
            max_concurrent_requests=settings.max_concurrent_requests,
            with_health=settings.enable_grpc_healthcheck_service,
        )
    except RuntimeError:  # gRPC does not say why
        try:
            listen(settings.host, settings.grpc_port).close()
        except OSError as error:
            raise _port_error("gRPC", settings.host, settings.grpc_port, error) from None
        raise UserError(
            f"gRPC cannot use what {settings.ssl_config_file!r} holds: server_key and server_cert "
            "must be in PEM and belong together"
        ) from None


def _port_error(api: str, host: str, port: int, error: OSError) -> UserError:
    remedy = (
        "stop the program that uses the port, or choose another with "
        f"--{api.lower()}-port (0 for any free port)"
        if error.errno in (errno.EADDRINUSE, errno.EACCES)
        else "give an address of this machine with --host"
    )
    return UserError(f"cannot listen at {host}:{port} for {api}: {error.strerror or error}; {remedy}")
