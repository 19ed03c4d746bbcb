"""Calls a server of the exported classifier, over gRPC or REST; `python -m serving.client` is the command."""

from serving.client.answers import Explanation, Prediction
from serving.client.connection import Client, Limits
from serving.client.errors import (
    DeadlineExceeded,
    ModelNotFound,
    RequestRefused,
    ServerFailed,
    ServerUnavailable,
    ServerUnreachable,
    ServingError,
)
from serving.client.transport import ServedModel, Tls

__all__ = [
    "Client",
    "DeadlineExceeded",
    "Explanation",
    "Limits",
    "ModelNotFound",
    "Prediction",
    "RequestRefused",
    "ServedModel",
    "ServerFailed",
    "ServerUnavailable",
    "ServerUnreachable",
    "ServingError",
    "Tls",
]
