"""Another try, later, for what may then succeed. Predictions change nothing on the server: none is unsafe."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

ResultT = TypeVar("ResultT")

FIRST_PAUSE = 0.1  # seconds
LONGEST_PAUSE = 5.0  # seconds


async def retrying(
    attempt: Callable[[], Awaitable[ResultT]], retries: int, is_temporary: Callable[[Exception], bool]
) -> ResultT:
    """Awaits `attempt()`, and again after each temporary failure, up to `retries` times more.

    Pauses double from FIRST_PAUSE to LONGEST_PAUSE, and each is drawn between nothing and that ("full
    jitter": Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), so that clients of one
    server do not come back all at once.

    Raises:
        Exception: the last failure.
    """
    for number in range(retries):
        try:
            return await attempt()
        except Exception as error:
            if not is_temporary(error):
                raise
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**number)
        await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 (no secret)
    return await attempt()
