"""Waits for a server that is still starting."""

import time
from collections.abc import Callable
from typing import TypeVar

from serving.client.errors import ModelNotFound, ServerUnavailable, ServerUnreachable, WrongProtocol

_SECONDS_BETWEEN_TRIES = 0.5

ResultT = TypeVar("ResultT")


def wait_for_server(ask: Callable[[], ResultT], seconds: float) -> ResultT:
    """Asks a server until it answers, or the time is over.

    Args:
        ask: sends a request.
        seconds: how long the server may be out of reach, or still loading the model.

    Returns:
        The answer.

    Raises:
        ServingError: the last failure. One that waiting cannot mend is raised at once.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except WrongProtocol:
            raise
        except (ServerUnreachable, ServerUnavailable, ModelNotFound):
            if time.monotonic() >= end:
                raise
            time.sleep(_SECONDS_BETWEEN_TRIES)
