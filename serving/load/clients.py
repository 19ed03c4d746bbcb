"""Clients that send requests at a time, in a closed or an open loop.

In a closed loop each client sends as soon as it has its answer. In an open loop requests come when they come,
as a Poisson process of a given rate, whether or not earlier ones are answered; their latency counts from the
moment at which they were due, so that a server that stalls is seen to (Tene, "How NOT to Measure Latency").
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


@dataclasses.dataclass(frozen=True)
class Answers:
    """What came back."""

    seconds: float
    """From the first request to the last answer."""
    latencies: NDArray[np.float64]
    """Of the whole answers, in seconds (answers,)."""
    finished: NDArray[np.float64]
    """When each of them was there, in seconds since the first request (answers,)."""
    errors: Counter[str]

    @property
    def rate(self) -> float:
        """Whole answers per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Of the latencies, in seconds; NaN without any."""
        return float(np.percentile(self.latencies, percent)) if len(self.latencies) else float("nan")


def run_clients(
    connect: Connect, requests: Sequence[bytes], *, clients: int, seconds: float, rate: float | None = None
) -> Answers:
    """Sends `requests` in turn for so many seconds, then waits for the answers.

    Args:
        connect: opens a client's connection.
        requests: serialized.
        clients: that many at a time.
        seconds: how long.
        rate: requests per second of an open loop; None for a closed one.
    """
    connections = [connect() for _ in range(clients)]
    for connection in connections:
        connection.send(requests[0])  # opens it: how long that takes is not what is measured
    began = time.perf_counter()
    due = _Due(began, seconds, rate, len(requests))
    results: list[list[tuple[float, float, str | None]]] = [[] for _ in connections]
    threads = [
        threading.Thread(target=_client, args=(connection, requests, due, result))
        for connection, result in zip(connections, results, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - began
    for connection in connections:
        connection.close()
    everything = list(itertools.chain.from_iterable(results))
    whole = [(sent, received) for sent, received, error in everything if error is None]
    times = np.array(whole, np.float64).reshape(-1, 2)
    return Answers(
        seconds=elapsed,
        latencies=times[:, 1] - times[:, 0],
        finished=times[:, 1] - began,
        errors=Counter(error for _, _, error in everything if error is not None),
    )


class _Due:
    """Hands out which request is next, and when it is due; every client draws from the same."""

    def __init__(self, began: float, seconds: float, rate: float | None, requests: int) -> None:
        self._lock = threading.Lock()
        self._moments = self._poisson(began, rate) if rate is not None else None
        self._positions = itertools.cycle(range(requests))
        self._ends = began + seconds

    def next(self) -> tuple[float, int] | None:
        """The moment and the request's position; None when time is up."""
        with self._lock:
            moment = time.perf_counter() if self._moments is None else next(self._moments)
            return (moment, next(self._positions)) if moment < self._ends else None

    @staticmethod
    def _poisson(began: float, rate: float) -> Iterator[float]:
        generator, moment = np.random.default_rng(0), began
        while True:
            moment += generator.exponential(1 / rate)
            yield moment


def _client(
    connection: Connection,
    requests: Sequence[bytes],
    due: _Due,
    results: list[tuple[float, float, str | None]],
) -> None:
    while (next_one := due.next()) is not None:
        moment, position = next_one
        time.sleep(max(0.0, moment - time.perf_counter()))
        error = connection.send(requests[position])
        results.append((moment, time.perf_counter(), error))
