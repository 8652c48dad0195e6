"""Exports housekeeping and events as Prometheus metrics, over HTTP on the loopback interface."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from flight.icd.catalogue import STATES
from flight.icd.limits import TOPIC_EVENT, TOPIC_HOUSEKEEPING

# There is no option for another address; to see the metrics elsewhere, run a collector on the board.
_ADDRESS = "127.0.0.1"
# Housekeeping comes every second; without it for this long, the service counts as down and its values as stale.
_STALE_S = 5.0
_QUANTILES = {"p50": "0.5", "p99": "0.99", "max": "1"}
_LABELS = {"frames_rejected": "reason", "products_published": "topic"}
_GAUGES = {
    "uptime_s": ("uptime_seconds", "time since the service started"),
    "worker_last_answer_age_s": ("worker_last_answer_age_seconds", "time since the worker's last answer to a job"),
    "resident_memory_bytes": ("resident_memory_bytes", "resident memory of the service and its worker"),
    "cpu_temperature_c": ("cpu_temperature_celsius", "the hottest thermal zone"),
    "bundle_on_probation": ("bundle_on_probation", "1 while the activated bundle has not answered its first frames"),
    "record_copies": ("record_copies", "whole copies of the record on the storage, 0..2"),
}


class TelemetryCollector(Collector):
    """Turns the newest housekeeping into metrics at every scrape, and counts events.

    While the service is down, its values are left out. Events are counted from the start of this collector, including
    those that the service's throttle suppressed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: tuple[float, dict[str, Any]] | None = None
        self._events: Counter[tuple[str, str]] = Counter()

    def update(self, topic: str, values: dict[str, Any]) -> None:
        """Store a message of telemetry.

        Args:
            topic: as TelemetryListener.receive returns it.
            values: fields of the message.
        """
        with self._lock:
            if topic == TOPIC_HOUSEKEEPING:
                self._newest = (time.monotonic(), values)
            elif topic == TOPIC_EVENT:
                self._events[values["name"], values["severity"]] += 1 + values["count_suppressed"]

    def collect(self) -> Iterator[Metric]:
        """The current metrics; called in the threads of the HTTP server."""
        with self._lock:
            newest, events = self._newest, dict(self._events)
        up = newest is not None and time.monotonic() - newest[0] <= _STALE_S
        yield GaugeMetricFamily("rubblemap_up", f"1 if housekeeping came within {_STALE_S:g} s", value=float(up))
        counted = CounterMetricFamily(
            "rubblemap_events", "events received by this exporter, and those held back", labels=["name", "severity"]
        )
        for labels, count in sorted(events.items()):
            counted.add_metric(labels, count)
        yield counted
        if up and newest is not None:
            yield from _make_service_metrics(newest[1])


def _make_service_metrics(housekeeping: dict[str, Any]) -> Iterator[Metric]:
    for name, value in housekeeping["counters"].items():
        text = f"{name.replace('_', ' ')} since the service started or reset_counters"
        if isinstance(value, dict):
            counter = CounterMetricFamily(f"rubblemap_{name}", text, labels=[_LABELS.get(name, "kind")])
            for label, count in value.items():
                counter.add_metric([label], count)
        else:
            counter = CounterMetricFamily(f"rubblemap_{name}", text, value=value)
        yield counter
    latency = GaugeMetricFamily(
        "rubblemap_latency_ms", "milliseconds per stage, of the last 100 frames answered", labels=["stage", "quantile"]
    )
    for stage, values in housekeeping["latency_ms"].items():
        for name, quantile in _QUANTILES.items():
            latency.add_metric([stage, quantile], values[name])
    yield latency
    state = GaugeMetricFamily("rubblemap_state", "1 for the state that the service is in", labels=["state"])
    for name in STATES:
        state.add_metric([name], float(housekeeping["state"] == name))
    yield state
    for field, (name, text) in _GAUGES.items():
        if housekeeping[field] is not None:
            yield GaugeMetricFamily(f"rubblemap_{name}", text, value=float(housekeeping[field]))
    if housekeeping["self_test"] is not None:
        passed = float(housekeeping["self_test"]["passed"])
        yield GaugeMetricFamily("rubblemap_self_test_passed", "1 if the worker's last self-test passed", value=passed)
    yield InfoMetricFamily("rubblemap_bundle", "the bundle that serves", value=housekeeping["bundle"])


@contextmanager
def serve_metrics(collector: Collector, port: int) -> Iterator[int]:
    """Serve the collector's metrics on the loopback interface, until the context ends.

    Args:
        collector: of the metrics.
        port: 0 for any free port.

    Yields:
        The port.

    Raises:
        OSError: the port cannot be used; the message names it.
    """
    # Its own registry: the library's default registry adds metrics of this process.
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server, thread = start_http_server(port, addr=_ADDRESS, registry=registry)
    except OSError as error:
        raise OSError(f"--port: cannot listen on {_ADDRESS}:{port}: {error.strerror}") from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
