"""Calls a server of the exported classifier over gRPC or REST.

From Python: `Client(address, transport).predict(images)` and `.explain(images)`. On the command line:
`python -m serving.client IMAGE...`. The client itself is in `client.py`.
"""

from serving.client.answers import Explanation, Prediction
from serving.client.background import ClientClosed
from serving.client.client import Client, Limits
from serving.client.errors import (
    DeadlineExceeded,
    ModelNotFound,
    RequestRefused,
    ServerFailed,
    ServerUnavailable,
    ServerUnreachable,
    ServingError,
    WrongProtocol,
)
from serving.client.transport import ServedModel, Tls

__all__ = [
    "Client",
    "ClientClosed",
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
    "WrongProtocol",
]
