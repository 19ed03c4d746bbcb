"""Counts and latencies of requests, as TensorFlow Serving names and writes them for Prometheus."""

import bisect
import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator

from serving.server.status import StatusError

DEFAULT_PATH = "/monitoring/prometheus/metrics"

REQUEST_COUNT = ":tensorflow:serving:request_count"
REQUEST_LATENCY = ":tensorflow:serving:request_latency"
RUNTIME_LATENCY = ":tensorflow:serving:runtime_latency"

# TensorFlow Serving's Buckets::Exponential(10, 1.8, 33), in microseconds: 10 us to about 20 minutes.
_BOUNDS = tuple(10 * 1.8**power for power in range(32))
_MOST_CELLS = 1000  # of each metric: the names of models come from requests, and anybody may send any

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """What a server has answered so far; any thread may record."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Labels, int] = defaultdict(int)
        self._latencies: dict[str, dict[Labels, _Histogram]] = {REQUEST_LATENCY: {}, RUNTIME_LATENCY: {}}

    @contextlib.contextmanager
    def request(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts what is answered within by its status, and records how long it took if it succeeds.

        Args:
            model: its name.
            api: as in Predict.
            entrypoint: GRPC or REST.
        """
        began, status = time.perf_counter(), "INTERNAL"
        try:
            yield
            status = "OK"
        except StatusError as error:
            status = error.code.name
            raise
        finally:
            self._count(model, status)
        labels = (("model_name", model), ("API", api), ("entrypoint", entrypoint))
        self._record(REQUEST_LATENCY, labels, time.perf_counter() - began)

    def _count(self, model: str, status: str) -> None:
        labels = (("model_name", model), ("status", status))
        with self._lock:
            if labels in self._counts or len(self._counts) < _MOST_CELLS:
                self._counts[labels] += 1

    def record_runtime(self, model: str, api: str, seconds: float) -> None:
        """Records how long TensorFlow took for one."""
        self._record(RUNTIME_LATENCY, (("model_name", model), ("API", api), ("runtime", "TF1")), seconds)

    def page(self) -> str:
        """Everything in Prometheus's text format."""
        with self._lock:
            lines = [f"# TYPE {REQUEST_COUNT} counter"]
            lines += [f"{REQUEST_COUNT}{{{_text(labels)}}} {n}" for labels, n in self._counts.items()]
            for name, histograms in self._latencies.items():
                lines.append(f"# TYPE {name} histogram")
                for labels, histogram in histograms.items():
                    lines += histogram.lines(name, _text(labels))
        return "\n".join(lines) + "\n"

    def _record(self, name: str, labels: Labels, seconds: float) -> None:
        with self._lock:
            self._latencies[name].setdefault(labels, _Histogram()).add(1e6 * seconds)


class _Histogram:
    def __init__(self) -> None:
        self._buckets = [0] * (len(_BOUNDS) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._buckets[bisect.bisect_right(_BOUNDS, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str) -> list[str]:
        lines, total = [], 0
        for bound, count in zip((*_BOUNDS, None), self._buckets, strict=True):
            total += count
            limit = "+Inf" if bound is None else f"{bound:g}"
            lines.append(f'{name}_bucket{{{labels},le="{limit}"}} {total}')
        return [*lines, f"{name}_sum{{{labels}}} {self._sum:g}", f"{name}_count{{{labels}}} {total}"]


def _text(labels: Labels) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
