"""Repeats a request that may succeed later. That is safe: predictions change nothing on the server."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

ResultT = TypeVar("ResultT")

# After an answer with one of these status codes, the same request may succeed later.
TEMPORARY_GRPC_CODES = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED")
"""Names of gRPC's codes. CANCELLED is what a server that stops answers to the requests that it has begun."""
TEMPORARY_HTTP_CODES = (429, 502, 503)
"""Codes of HTTP. 502 is what a proxy answers while its server is restarting."""

FIRST_PAUSE = 0.1
"""Longest pause before the second attempt, in seconds."""
LONGEST_PAUSE = 5.0
"""Longest pause before any attempt, in seconds."""


async def with_retries(
    attempt: Callable[[], Awaitable[ResultT]], retries: int, is_temporary: Callable[[Exception], bool]
) -> ResultT:
    """Awaits `attempt()`, and repeats it after a temporary failure.

    The limit of the pauses doubles from FIRST_PAUSE to LONGEST_PAUSE. Each pause is drawn at random between 0
    and its limit ("full jitter": Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), so
    that the clients of a server do not all come back at the same moment.

    Args:
        attempt: makes one attempt.
        retries: maximum number of attempts after the first.
        is_temporary: whether an attempt that failed with this exception may succeed later.

    Raises:
        Exception: the failure of the last attempt.
    """
    for number in range(retries):
        try:
            return await attempt()
        except Exception as error:
            if not is_temporary(error):
                raise
        limit = min(LONGEST_PAUSE, FIRST_PAUSE * 2**number)
        await asyncio.sleep(random.uniform(0, limit))  # noqa: S311 (no secret)
    return await attempt()
