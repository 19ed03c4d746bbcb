"""An event loop in its own thread, so that one implementation serves blocking and asyncio callers."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


class BackgroundLoop:
    """Runs coroutines in its own thread, for callers in other threads and in other event loops."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="serving-client", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Blocks until the coroutine is done. If the caller is interrupted, the coroutine is cancelled."""
        future = self._submit(coroutine)
        try:
            return future.result()
        finally:
            future.cancel()

    async def wait(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Awaits the coroutine. If the caller is cancelled, the coroutine is cancelled too."""
        return await asyncio.wrap_future(self._submit(coroutine))

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._loop.is_closed()

    def close(self) -> None:
        """Cancels the coroutines that still run, and ends the thread."""
        self.run(_cancel_all_other_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _submit(self, coroutine: Coroutine[Any, Any, ResultT]) -> "Future[ResultT]":
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)


async def _cancel_all_other_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
