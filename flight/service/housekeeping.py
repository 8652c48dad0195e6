"""Sends housekeeping: the service's whole status in one map, every second and on every change of the state."""

from __future__ import annotations

import time
from typing import Any

import zmq

from flight.icd.control import encode_message
from flight.icd.limits import TOPIC_HOUSEKEEPING
from flight.service.bundle_care import BundleCare
from flight.service.cameras import CameraCounts
from flight.service.events import publish
from flight.service.parameters import ParameterTable
from flight.service.record_writer import RecordWriter
from flight.service.self_tests import SelfTests
from flight.service.serving_bundle import ServingBundle
from flight.service.state import State
from flight.service.statistics import Counters, Latencies, cpu_temperature_c
from flight.service.worker_care import WorkerCare

_INTERVAL_S = 1.0


class Housekeeping:
    """Collects the housekeeping map from the other parts, and sends it."""

    def __init__(
        self,
        telemetry: zmq.Socket[bytes],
        state: State,
        counters: Counters,
        cameras: CameraCounts,
        latencies: Latencies,
        worker_care: WorkerCare,
        serving: ServingBundle,
        bundle_care: BundleCare,
        self_tests: SelfTests,
        parameters: ParameterTable,
        records: RecordWriter,
    ) -> None:
        """Start counting the uptime.

        Args:
            telemetry: the socket.
        """
        self._telemetry = telemetry
        self._state = state
        self._counters = counters
        self._cameras = cameras
        self._latencies = latencies
        self._worker_care = worker_care
        self._serving = serving
        self._bundle_care = bundle_care
        self._self_tests = self_tests
        self._parameters = parameters
        self._records = records
        self._started = time.monotonic()
        self._next = 0.0

    @property
    def uptime_s(self) -> float:
        """Seconds since the service was made."""
        return time.monotonic() - self._started

    def collect(self) -> dict[str, Any]:
        """The fields of the housekeeping message."""
        worker = self._worker_care.status()
        return {
            "time_ns": time.time_ns(),
            "state": self._state.name,
            "uptime_s": self.uptime_s,
            "counters": self._counters.values(),
            "latency_ms": self._latencies.values(),
            "worker_last_answer_age_s": worker["worker_last_answer_age_s"],
            "worker_pid": worker["worker_pid"],
            "bundle": self._serving.bundle.identity,
            "bundle_on_probation": self._serving.on_probation,
            "staged_bundle": self._bundle_care.staged_status(),
            "self_test": self._self_tests.status(),
            "parameters": self._parameters.current.values(),
            "record_copies": self._records.copies if self._records.persistent else None,
            "resident_memory_bytes": worker["resident_memory_bytes"],
            "cpu_temperature_c": cpu_temperature_c(),
            "cameras": self._cameras.values(),
        }

    def send(self) -> None:
        """Send the message now."""
        self._next = time.monotonic() + _INTERVAL_S
        publish(self._telemetry, TOPIC_HOUSEKEEPING, encode_message("housekeeping", self.collect()))

    def send_if_due(self) -> None:
        """Send the message if the last one is a second old."""
        if time.monotonic() >= self._next:
            self.send()
