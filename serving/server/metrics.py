"""Counts and times requests, and writes the figures for Prometheus with the names of TensorFlow Serving."""

import bisect
import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator

from serving.server.status import StatusError

DEFAULT_PATH = "/monitoring/prometheus/metrics"
"""Path of the URL of the metrics unless the MonitoringConfig has another."""

REQUEST_COUNT = ":tensorflow:serving:request_count"
REQUEST_LATENCY = ":tensorflow:serving:request_latency"
RUNTIME_LATENCY = ":tensorflow:serving:runtime_latency"

# Upper bounds of the buckets in microseconds, 10 us to about 20 minutes: TensorFlow Serving's
# Buckets::Exponential(10, 1.8, 33).
_BOUNDS = tuple(10 * 1.8**power for power in range(32))
_MAX_COUNTS = 1000  # the names of models come from requests, and a client may send any number of them

Labels = tuple[tuple[str, str], ...]
"""Names and values that tell the counts of one metric apart."""


class Metrics:
    """The figures of a server since its start. Any thread may record and read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Labels, int] = defaultdict(int)
        self._latencies: dict[str, dict[Labels, _Histogram]] = {REQUEST_LATENCY: {}, RUNTIME_LATENCY: {}}

    @contextlib.contextmanager
    def request(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts the request that the block answers, and records how long the block took if it succeeds.

        Args:
            model: name of the model.
            api: name of the call, as in Predict.
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
            if labels in self._counts or len(self._counts) < _MAX_COUNTS:
                self._counts[labels] += 1

    def record_runtime(self, model: str, api: str, seconds: float) -> None:
        """Records how long TensorFlow took for one request."""
        self._record(RUNTIME_LATENCY, (("model_name", model), ("API", api), ("runtime", "TF1")), seconds)

    def page(self) -> str:
        """All figures in Prometheus's text format."""
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
