"""Python functions that tf.data calls from threads of its own, and that stop when the interpreter ends.

A thread that asks for the interpreter while it is being taken down never comes back from it: a script that
ends while batches are still prepared ahead would be aborted, or hang.
"""

import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

QUIET_SECONDS = 0.05
"""When nothing was called for so long, all that was ahead of what was taken has failed, or is ready."""
PATIENCE_SECONDS = 10.0


class CalledUntilExit:
    """Calls a function until the interpreter begins to end, and from then on fails.

    Args:
        function: may be called by several threads at a time.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._calls = _Calls()
        weakref.finalize(self, self._calls.end)  # called at exit, or when nobody can call any more

    def __call__(self, *arguments: Any) -> Any:
        """See the class.

        Raises:
            InterruptedError: if the interpreter ends.
        """
        with self._calls:
            return self._function(*arguments)


class _Calls:
    """Those under way."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way = 0
        self._last = 0.0
        self._ended = False

    def __enter__(self) -> None:
        with self._changed:
            self._last = time.monotonic()
            if self._ended:
                raise InterruptedError("the interpreter ends")
            self._under_way += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._under_way -= 1
            self._changed.notify()

    def end(self) -> None:
        """Lets those under way come to their end, and waits until no more are tried."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self._changed:
            self._ended = True
            while time.monotonic() < deadline and not self._is_quiet():
                self._changed.wait(QUIET_SECONDS)

    def _is_quiet(self) -> bool:
        return not self._under_way and time.monotonic() - self._last >= QUIET_SECONDS
