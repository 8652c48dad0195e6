"""`hil metrics` as a process beside a real service, scraped over HTTP."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from hil.cli import main
from tests.flight.service_process import running_service
from tests.tiny_bundle import body_frame

FRAME = body_frame(40, 60, 14)
Samples = dict[tuple[Any, ...], float]


@contextmanager
def running_metrics(endpoint: str) -> Iterator[str]:
    """Start `hil metrics` on a free port; gives the address to scrape."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hil.cli", "metrics", "--port", "0", "--endpoint", endpoint],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("metrics: http://127.0.0.1:")
        yield line.removeprefix("metrics: ").strip()
        process.terminate()
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()


def scrape(address: str) -> Samples:
    """(name, label value, ...) -> value, labels in the order of their names."""
    with urllib.request.urlopen(address, timeout=10) as response:
        families = text_string_to_metric_families(response.read().decode("utf-8"))
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def scrape_until(address: str, condition: Callable[[Samples], bool], timeout_s: float = 20.0) -> Samples:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        samples = scrape(address)
        if condition(samples):
            return samples
        time.sleep(0.1)
    raise AssertionError(f"not reached in {timeout_s} s; last: {samples}")


def test_metrics_agree_with_the_service_and_outlive_it(tiny_bundle: Path, tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/telemetry"
    with running_metrics(endpoint) as address:
        assert scrape(address) == {("rubblemap_up",): 0.0}  # before the service
        with running_service(tmp_path, tiny_bundle) as service:
            with service.camera(source="camera") as camera, service.subscriber("map.hazard", newest=False) as products:
                for _ in range(3):
                    camera.send(FRAME, centered=True)
                    assert products.receive(10).status == "valid"
                camera.next_frame_id = 0
                camera.send(FRAME, centered=True)
            status = service.wait_for(lambda s: s["counters"]["frames_rejected"]["not_increasing"] == 1)
            samples = scrape_until(
                address, lambda seen: seen.get(("rubblemap_frames_rejected_total", "not_increasing")) == 1.0
            )
            assert samples["rubblemap_up",] == 1.0
            for name, value in status["counters"].items():
                if isinstance(value, dict):
                    for label, count in value.items():
                        assert samples[f"rubblemap_{name}_total", label] == count, (name, label)
                elif not name.startswith(("commands", "file_checks")):  # those move on while we look
                    assert samples[f"rubblemap_{name}_total",] == value, name
            assert samples["rubblemap_frames_processed_total",] == 3.0
            for stage, values in status["latency_ms"].items():
                for name, quantile in (("p50", "0.5"), ("p99", "0.99"), ("max", "1")):
                    assert samples["rubblemap_latency_ms", quantile, stage] == values[name]
            states = {key[1]: value for key, value in samples.items() if key[0] == "rubblemap_state"}
            assert states == {"starting": 0.0, "ready": 1.0, "degraded": 0.0, "safe": 0.0}
            bundle = status["bundle"]
            assert samples["rubblemap_bundle_info", bundle["name"], bundle["sha256"], bundle["version"]] == 1.0
            assert 0.0 < samples["rubblemap_uptime_seconds",] < 120.0
            assert 0.0 <= samples["rubblemap_worker_last_answer_age_seconds",] < 60.0
            assert samples["rubblemap_resident_memory_bytes",] > 10_000_000
            assert (("rubblemap_cpu_temperature_celsius",) in samples) == (status["cpu_temperature_c"] is not None)
            assert samples["rubblemap_events_total", "frame_rejected", "warning_low"] == 1.0
            service.process.terminate()
            assert service.process.wait(timeout=10) == 0
        left = scrape_until(address, lambda seen: seen["rubblemap_up",] == 0.0)
        assert {key[0] for key in left} == {"rubblemap_up", "rubblemap_events_total"}
        with running_service(tmp_path, tiny_bundle):
            samples = scrape_until(address, lambda seen: seen["rubblemap_up",] == 1.0)
            assert samples["rubblemap_frames_processed_total",] == 0.0


def test_it_listens_on_loopback_only_and_names_a_busy_port(tmp_path: Path, capsys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        assert main(["metrics", "--port", str(port), "--endpoint", f"ipc://{tmp_path}/telemetry"]) == 2
    assert f"hil metrics: --port: cannot listen on 127.0.0.1:{port}: Address already in use" in capsys.readouterr().err
    assert main(["metrics", "--port", "70000"]) == 2
    assert "--port: expected 0..65535, got 70000" in capsys.readouterr().err
    with running_metrics(f"ipc://{tmp_path}/telemetry") as address:
        port = int(address.rpartition(":")[2].partition("/")[0])
        # Every address of 127/8 leads here; a listener on all addresses would answer on this one too.
        with socket.socket() as other:
            assert other.connect_ex(("127.0.0.2", port)) != 0
