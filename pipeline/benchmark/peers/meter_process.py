"""A meter that runs in a process of its own."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection

from pipeline.benchmark.timing import Meter


class MeterProcess:
    """Starts a process and measures rates in it.

    Args:
        prepare: makes the meter. It is called in the new process and must be picklable.
    """

    def __init__(self, prepare: Callable[[], Meter]) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(other_end, prepare))
        self._process.start()
        other_end.close()
        self.failure: str | None = self._connection.recv()
        """Why `prepare` failed, in one line; None if it succeeded."""

    def rate(self, seconds: float) -> float:
        """Measures for about so many seconds; returns units per second."""
        self._connection.send(seconds)
        return float(self._connection.recv())

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        self._process.join()


def _serve(connection: Connection, prepare: Callable[[], Meter]) -> None:
    """Answers with a rate for each number of seconds that it receives, until the connection is closed."""
    try:
        rate = prepare()
    except Exception as error:
        connection.send(f"{type(error).__name__}: {str(error).splitlines()[0]}")
        return
    connection.send(None)
    while True:
        try:
            seconds = connection.recv()
        except EOFError:
            return
        connection.send(rate(seconds))
