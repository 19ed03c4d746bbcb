"""All settings of the local server. They need no TensorFlow, so that the command shows its help at once."""

import dataclasses
from typing import Annotated

import tyro

from serving.names import GRPC_PORT, LOCAL_HOST, REST_PORT
from tfrecords_builder.cli.options import optional

_PORTS = range(1 << 16)


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """Serves exported models on this machine over gRPC and REST, as TensorFlow Serving does, without Docker.

    A new version in the folder of a model takes over without a restart. This server is for laptops, tests and
    CI: in production, run TensorFlow Serving itself. Options that TensorFlow Serving has too
    have the same meaning, and read the same files.
    """

    models: Annotated[tyro.conf.Positional[str | None], optional("[MODELS]")] = None
    """Folder of models that `python -m serving.export` has written; a path or a URL. The highest version of
    each model is served. Either MODELS or --model-config-file is needed."""
    host: str = LOCAL_HOST
    """Address to listen at. 0.0.0.0 accepts connections from other machines."""
    grpc_port: int = GRPC_PORT
    """Port of the gRPC API, 1 to 65535; 0 for any free port."""
    rest_port: int = REST_PORT
    """Port of the REST API, 1 to 65535; 0 for any free port."""
    model_config_file: Annotated[str | None, optional("FILE")] = None
    """File that says which models, versions and labels are served, instead of MODELS: a ModelServerConfig of
    TensorFlow Serving, as text."""
    model_config_file_poll_wait_seconds: float = 0.0
    """Seconds between two readings of --model-config-file; 0 to read it only once."""
    file_system_poll_wait_seconds: float = 1.0
    """Seconds, above 0, between two searches for new versions in the folders of the models."""
    allow_version_labels_for_unavailable_models: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Allow --model-config-file to give a new label to a version that is not loaded yet. This is
    needed if the file has labels when the server starts."""
    max_num_load_retries: int = 5
    """Maximum number of times that loading a version is tried again after it has failed."""
    load_retry_interval_micros: int = 60_000_000
    """Microseconds between two tries to load a version."""
    enable_batching: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Join requests that come at about the same time, and run them as one batch."""
    batching_parameters_file: Annotated[str | None, optional("FILE")] = None
    """File that says how large batches are and how long requests wait for others: BatchingParameters of
    TensorFlow Serving, as text. It needs --enable-batching."""
    monitoring_config_file: Annotated[str | None, optional("FILE")] = None
    """File that switches on metrics for Prometheus, at the REST port: a MonitoringConfig of TensorFlow
    Serving, as text."""
    enable_grpc_healthcheck_service: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Serve gRPC's health checks (grpc.health.v1) too, at the gRPC port."""
    ssl_config_file: Annotated[str | None, optional("FILE")] = None
    """File that switches on encryption (TLS or mutual TLS) of gRPC: an SSLConfig of TensorFlow Serving, as
    text. REST is never encrypted."""
    rest_api_timeout_in_ms: int = 30_000
    """Milliseconds that a request over REST may take. After that, it is answered with DEADLINE_EXCEEDED (HTTP
    504)."""
    max_concurrent_requests: int = 256
    """Maximum number of requests that each of the two APIs answers at the same time. Further ones are refused
    with RESOURCE_EXHAUSTED (HTTP 429)."""

    def __post_init__(self) -> None:
        self._check_files()
        self._check_numbers()

    def _check_files(self) -> None:
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

    def _check_numbers(self) -> None:
        for port in (self.grpc_port, self.rest_port):
            if port not in _PORTS:
                raise ValueError(f"a port must be {_PORTS[0]} to {_PORTS[-1]}. Received: {port}")
        if self.file_system_poll_wait_seconds <= 0:
            raise ValueError(
                "file_system_poll_wait_seconds must be above 0. Received: "
                f"{self.file_system_poll_wait_seconds}"
            )
        for name in (
            "model_config_file_poll_wait_seconds",
            "max_num_load_retries",
            "load_retry_interval_micros",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0. Received: {getattr(self, name)}")
        for name in ("rest_api_timeout_in_ms", "max_concurrent_requests"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Received: {getattr(self, name)}")
