"""Several requests at a time, answers in the order of the images, and no more in memory than under way."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Generic, TypeVar

from serving.client.errors import ServingError

BatchT = TypeVar("BatchT")
AnswersT = TypeVar("AnswersT")


class InFlight(Generic[BatchT, AnswersT]):
    """Sends batches and hands out their answers; all of it in one event loop.

    Args:
        batches: not empty; read in a thread, since reading them may mean reading files.
        send: one batch to its answers.
        most: batches that are read, on their way, or answered and not yet taken.
    """

    def __init__(
        self, batches: Iterator[BatchT], send: Callable[[BatchT], Awaitable[AnswersT]], most: int
    ) -> None:
        self._batches = batches
        self._send = send
        self._most = most
        self._under_way: deque[asyncio.Future[AnswersT]] = deque()
        self._failure: ServingError | None = None

    async def next(self) -> AnswersT | None:
        """The answers of the next batch that the server answered; None after the last.

        Raises:
            ServingError: the first failure, once everything that was on its way has come or failed.
        """
        await self._fill()
        while self._under_way:
            try:
                return await self._under_way.popleft()
            except ServingError as error:
                self._failure = self._failure or error
        if self._failure is not None:
            raise self._failure
        return None

    async def close(self) -> None:
        """Gives up what is on its way."""
        for batch in self._under_way:
            batch.cancel()

    async def _fill(self) -> None:
        while not self._has_failed() and len(self._under_way) < self._most:
            batch = await asyncio.to_thread(next, self._batches, None)
            if batch is None:
                break
            self._under_way.append(asyncio.ensure_future(self._send(batch)))

    def _has_failed(self) -> bool:
        """Whether a batch has failed, though its turn to be handed out may not have come."""
        return self._failure is not None or any(
            batch.done() and not batch.cancelled() and batch.exception() is not None
            for batch in self._under_way
        )
