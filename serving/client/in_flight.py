"""Keeps several requests in flight, and returns their answers in the order of the images."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Generic, TypeVar

from serving.client.errors import ServingError

BatchT = TypeVar("BatchT")
AnswersT = TypeVar("AnswersT")


class RequestsInFlight(Generic[BatchT, AnswersT]):
    """Reads batches, sends them and returns their answers. All its coroutines must run in one event loop.

    Args:
        batches: the batches, none of them empty. A thread reads them, since this may mean reading files.
        send: sends a batch and returns its answers.
        max_batches: maximum number of batches in memory: being read, sent, or answered and not yet returned.
    """

    def __init__(
        self, batches: Iterator[BatchT], send: Callable[[BatchT], Awaitable[AnswersT]], max_batches: int
    ) -> None:
        self._batches = batches
        self._send = send
        self._max_batches = max_batches
        self._sent: deque[asyncio.Future[AnswersT]] = deque()
        self._first_failure: ServingError | None = None

    async def next(self) -> AnswersT | None:
        """Returns the answers about the next batch that the server answered, or None after the last batch.

        Raises:
            ServingError: the first failure. It is raised after the answers about all batches that had been
                sent until then.
        """
        await self._send_more()
        while self._sent:
            try:
                return await self._sent.popleft()
            except ServingError as error:
                self._first_failure = self._first_failure or error
        if self._first_failure is not None:
            raise self._first_failure
        return None

    async def close(self) -> None:
        """Cancels the requests that are not answered yet."""
        for request in self._sent:
            request.cancel()

    async def _send_more(self) -> None:
        while not self._has_failed() and len(self._sent) < self._max_batches:
            batch = await asyncio.to_thread(next, self._batches, None)
            if batch is None:
                break
            self._sent.append(asyncio.ensure_future(self._send(batch)))

    def _has_failed(self) -> bool:
        """Whether a request has failed, also if `next` has not come to it yet."""
        return self._first_failure is not None or any(
            request.done() and not request.cancelled() and request.exception() is not None
            for request in self._sent
        )
