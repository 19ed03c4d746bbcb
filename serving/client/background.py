"""An event loop in its own thread, so that one implementation serves blocking and asyncio callers."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


class ClientClosed(RuntimeError):
    """The client was used after it was closed, or it was closed while it waited for an answer."""

    def __init__(self) -> None:
        super().__init__("this client is closed")


class BackgroundLoop:
    """Runs coroutines in its own thread, for callers in other threads and in other event loops."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._closed = False
        self._lock = threading.Lock()  # no coroutine may be handed to a loop that is about to end
        self._thread = threading.Thread(target=self._loop.run_forever, name="serving-client", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Blocks until the coroutine is done. If the caller is interrupted, the coroutine is cancelled.

        Raises:
            ClientClosed: if `close` was called before the coroutine was done.
        """
        future = self._submit(coroutine)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            self.check_open()
            raise
        finally:
            future.cancel()

    async def wait(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Awaits the coroutine. If the caller is cancelled, the coroutine is cancelled too.

        Raises:
            ClientClosed: if `close` was called before the coroutine was done.
        """
        future = self._submit(coroutine)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if caller is None or not caller.cancelling():
                self.check_open()
            raise

    def check_open(self) -> None:
        """Raises ClientClosed if `close` has been called."""
        if self._closed:
            raise ClientClosed

    def close(self, release: Callable[[], Awaitable[None]]) -> None:
        """Cancels the coroutines that still run, and ends the thread. A second call does nothing.

        Args:
            release: is awaited in the event loop, after the coroutines are cancelled.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        try:
            asyncio.run_coroutine_threadsafe(_end_all_tasks(release), self._loop).result()
        finally:
            # It runs in the loop's own thread, as that of the caller may run a loop: a notebook's does.
            ended = asyncio.run_coroutine_threadsafe(self._loop.shutdown_default_executor(), self._loop)
            ended.result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _submit(self, coroutine: Coroutine[Any, Any, ResultT]) -> "concurrent.futures.Future[ResultT]":
        with self._lock:
            if not self._closed:
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        coroutine.close()
        raise ClientClosed


async def _end_all_tasks(release: Callable[[], Awaitable[None]]) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await release()
