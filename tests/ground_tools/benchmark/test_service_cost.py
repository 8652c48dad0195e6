"""What the service costs a board, with the shipped bundle."""

from __future__ import annotations

import statistics
from pathlib import Path

from ground_tools.benchmark.service_cost import ServiceCost, measure_cost, measure_start

BUNDLE = Path(__file__).parents[3] / "models" / "unet_h"


def test_service_and_worker_together_hold_at_most_160_mb(tiny_bundle: Path) -> None:
    """Slow because it starts the service with the shipped networks, and has it answer frames."""
    cost = measure_start(BUNDLE, 5)
    assert cost.pss_mb <= 160.0
    # Of which the service itself has little: no NumPy, no OpenCV, no engine.
    assert cost.service_rss_mb <= 40.0
    small = measure_start(tiny_bundle, 5)
    assert small.worker_rss_mb < cost.worker_rss_mb


def test_the_cost_is_that_of_the_middle_start(tiny_bundle: Path, monkeypatch) -> None:
    costs = [ServiceCost(*(float(number + field) for field in range(7))) for number in (5, 1, 3)]
    left = list(costs)
    monkeypatch.setattr("ground_tools.benchmark.service_cost.measure_start", lambda bundle, frames: left.pop())
    measured = measure_cost(tiny_bundle, 3, 1)
    assert measured["rss_mb"] == statistics.median(cost.rss_mb for cost in costs)
    assert list(measured) == list(ServiceCost.__annotations__)


def test_times_and_memory_are_those_of_the_processes(tiny_bundle: Path) -> None:
    cost = measure_start(tiny_bundle, 2)
    assert cost.ready_s > 0.0
    assert cost.start_processor_s > 0.0
    assert cost.ready_s <= cost.first_product_s + 0.1
    assert 5.0 < cost.pss_mb <= cost.rss_mb
    assert cost.rss_mb == cost.service_rss_mb + cost.worker_rss_mb
