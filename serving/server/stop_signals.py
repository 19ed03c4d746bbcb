"""Lets the main thread wait until the process is told to stop."""

import contextlib
import signal
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def stop_signals() -> Iterator[socket.socket]:
    """Catches SIGINT and SIGTERM while the block runs.

    A `threading.Event` that a signal handler sets would not do. The handler can interrupt the main thread
    where it holds the lock of the Event, which then waits for itself. And Python runs handlers in the main
    thread only, which goes on sleeping if another thread has received the signal.

    Yields:
        A socket from which one byte can be read as soon as a signal has come. The byte is the signal's
        number.
    """
    receiver, sender = socket.socketpair()
    with receiver, sender:
        sender.setblocking(False)
        signal.set_wakeup_fd(sender.fileno())
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, lambda *_: None) for number in numbers]
        try:
            yield receiver
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)
            signal.set_wakeup_fd(-1)
