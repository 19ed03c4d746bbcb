"""Clients that send requests at the same time, in a closed or in an open loop.

In a closed loop, a client sends its next request as soon as the last one is answered. In an open loop,
requests are due at the times of a Poisson process with a given rate, whether or not earlier requests are
answered. Their latency counts from the time at which they were due, so that it includes the waiting that a
slow server causes (Tene, "How NOT to Measure Latency").
"""

import dataclasses
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from serving.load.connections import Connection

Connect = Callable[[], Connection]
"""Opens the connection of a client."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """What the server answered during a load test."""

    seconds: float
    """Seconds from the first request to the last answer."""
    latencies: NDArray[np.float64]
    """Seconds that each complete answer took: float64 (answers,)."""
    finished: NDArray[np.float64]
    """When each complete answer arrived, in seconds since the first request: float64 (answers,)."""
    errors: Counter[str]
    """Number of failed requests by the kind of their error."""

    @property
    def rate(self) -> float:
        """Complete answers per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """A percentile of the latencies, in seconds; NaN if there are none."""
        return float(np.percentile(self.latencies, percent)) if len(self.latencies) else float("nan")


@dataclasses.dataclass(frozen=True)
class _Result:
    """How one request ended."""

    due: float
    """When it was due, as `time.perf_counter()` tells it."""
    received: float
    """When its answer arrived, on the same clock."""
    error: str | None
    """Kind of its error; None for a complete answer."""


def run_clients(
    connect: Connect, requests: Sequence[bytes], *, clients: int, seconds: float, rate: float | None = None
) -> Answers:
    """Sends requests for some time, then waits for their answers.

    Args:
        connect: opens the connection of a client.
        requests: serialized requests, which are sent one after another and then again from the first.
        clients: number of clients, each with its own connection and at most one request in flight.
        seconds: how long requests are sent.
        rate: requests per second of an open loop; None for a closed loop.
    """
    connections = [connect() for _ in range(clients)]
    for connection in connections:
        connection.send(requests[0])  # the time that connecting takes is not measured
    began = time.perf_counter()
    schedule = _Schedule(began, seconds, rate, len(requests))
    results: list[list[_Result]] = [[] for _ in connections]
    threads = [
        threading.Thread(target=_run_client, args=(connection, requests, schedule, results_of_client))
        for connection, results_of_client in zip(connections, results, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - began
    for connection in connections:
        connection.close()
    return _summarize(list(itertools.chain.from_iterable(results)), began, elapsed)


def _summarize(results: list[_Result], began: float, elapsed: float) -> Answers:
    complete = [result for result in results if result.error is None]
    return Answers(
        seconds=elapsed,
        latencies=np.array([result.received - result.due for result in complete], np.float64),
        finished=np.array([result.received - began for result in complete], np.float64),
        errors=Counter(result.error for result in results if result.error is not None),
    )


class _Schedule:
    """Says which request is next and when it is due. All clients share one schedule."""

    def __init__(self, began: float, seconds: float, rate: float | None, num_requests: int) -> None:
        self._lock = threading.Lock()
        self._moments = _poisson_process(began, rate) if rate is not None else None
        self._positions = itertools.cycle(range(num_requests))
        self._end = began + seconds

    def next(self) -> tuple[float, int] | None:
        """When the next request is due, and its position among the requests; None when the time is over."""
        with self._lock:
            due = time.perf_counter() if self._moments is None else next(self._moments)
            return (due, next(self._positions)) if due < self._end else None


def _poisson_process(began: float, rate: float) -> Iterator[float]:
    generator, moment = np.random.default_rng(0), began
    while True:
        moment += generator.exponential(1 / rate)
        yield moment


def _run_client(
    connection: Connection, requests: Sequence[bytes], schedule: _Schedule, results: list[_Result]
) -> None:
    while (scheduled := schedule.next()) is not None:
        due, position = scheduled
        time.sleep(max(0.0, due - time.perf_counter()))
        error = connection.send(requests[position])
        results.append(_Result(due, time.perf_counter(), error))
