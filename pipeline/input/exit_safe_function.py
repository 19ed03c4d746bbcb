"""Python functions that tf.data calls from its own threads, and that stop when the interpreter exits.

A thread that asks for the interpreter while it is being taken down never returns. A script that ends while
batches are still prepared ahead would be aborted or hang.
"""

import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

QUIET_SECONDS = 0.05
"""If nothing was called for so long, all batches that are prepared ahead are ready or have failed."""
MAX_WAIT_SECONDS = 10.0


class ExitSafeFunction:
    """Calls a function until the interpreter begins to exit, and fails from then on.

    Args:
        function: the function. Several threads may call it at the same time.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._running = _RunningCalls()
        weakref.finalize(self, self._running.end)  # called at exit, or when nobody holds this object any more

    def __call__(self, *arguments: Any) -> Any:
        """Calls the function.

        Raises:
            InterruptedError: if the interpreter exits.
        """
        with self._running:
            return self._function(*arguments)


class _RunningCalls:
    """Counts the calls that are running, and refuses further ones after `end`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._last_begin = 0.0
        self._ended = False

    def __enter__(self) -> None:
        with self._changed:
            self._last_begin = time.monotonic()
            if self._ended:
                raise InterruptedError("the interpreter exits")
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify()

    def end(self) -> None:
        """Refuses further calls and waits until those that run have returned and no more are tried."""
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        with self._changed:
            self._ended = True
            while time.monotonic() < deadline and not self._is_quiet():
                self._changed.wait(QUIET_SECONDS)

    def _is_quiet(self) -> bool:
        return not self._count and time.monotonic() - self._last_begin >= QUIET_SECONDS
