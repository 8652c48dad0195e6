"""How rendering scales over Dask workers: `ground-tools benchmark-rendering`."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

from ground_tools.bodies.catalogue import load_catalogue
from ground_tools.rendering.campaign import Campaign, Counts
from ground_tools.rendering.cluster import render_campaign


def measure(body: str, samples: int, workers: list[int], rounds: int, light_paths: int = 12) -> dict[str, Any]:
    """Render a campaign of one body with each number of workers in turn; seconds from start to end, set-up included."""
    seconds: dict[str, list[float]] = {str(count): [] for count in workers}
    campaign = Campaign("benchmark", 1, light_paths, {body: Counts(0, 0, samples)})
    for _ in range(rounds):
        for count in workers:
            with tempfile.TemporaryDirectory(prefix="rubblemap_benchmark_") as scratch:
                begin = time.perf_counter()
                render_campaign(campaign, load_catalogue(), None, None, Path(scratch), count)
                seconds[str(count)].append(round(time.perf_counter() - begin, 2))
    machine = f"{os.cpu_count()} cores, {platform.machine()}"
    return {"body": body, "samples": samples, "rounds": rounds, "machine": machine, "seconds": seconds}
