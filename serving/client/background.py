"""An event loop in a thread of its own, for one implementation behind both blocking and asyncio methods."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


class BackgroundLoop:
    """Runs coroutines for callers in other threads and in other event loops."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="serving-client", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Blocks until the coroutine is done; an interrupt of the caller cancels it."""
        future = self._submit(coroutine)
        try:
            return future.result()
        finally:
            future.cancel()

    async def wait(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Awaits the coroutine; a cancellation of the caller cancels it."""
        return await asyncio.wrap_future(self._submit(coroutine))

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._loop.is_closed()

    def close(self) -> None:
        """Cancels what still runs and ends the thread."""
        self.run(_cancel_the_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _submit(self, coroutine: Coroutine[Any, Any, ResultT]) -> "Future[ResultT]":
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)


async def _cancel_the_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
