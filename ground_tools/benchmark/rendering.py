"""How rendering scales over Dask workers: `python -m ground_tools.benchmark.rendering --write docs`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from ground_tools.bodies.catalogue import load_catalogue
from ground_tools.datasets.figures import Scaling
from ground_tools.datasets.report import write_scaling
from ground_tools.rendering.campaign import Campaign
from ground_tools.rendering.cluster import render_campaign


def measure(body: str, samples: int, workers: list[int], rounds: int, light_paths: int = 12) -> Scaling:
    """Render a campaign of one body with each number of workers in turn; seconds from start to end, set-up included."""
    seconds: dict[str, list[float]] = {str(count): [] for count in workers}
    campaign = Campaign("benchmark", 1, light_paths, {body: (0, 0, samples)})
    for _ in range(rounds):
        for count in workers:
            with tempfile.TemporaryDirectory(prefix="rubblemap_benchmark_") as scratch:
                begin = time.perf_counter()
                render_campaign(campaign, load_catalogue(), None, None, Path(scratch), count)
                seconds[str(count)].append(round(time.perf_counter() - begin, 2))
    machine = f"{os.cpu_count()} cores, {platform.machine()}"
    return Scaling(body, samples, rounds, machine, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--body", default="procedural_top", help="a body that needs no files (default: procedural_top)")
    parser.add_argument("--samples", type=int, default=300, help="(default: 300)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="(default: 1 2)")
    parser.add_argument("--rounds", type=int, default=2, help="(default: 2)")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="put the table into DOCS/datasets.md")
    arguments = parser.parse_args()
    scaling = measure(arguments.body, arguments.samples, arguments.workers, arguments.rounds)
    print(scaling, file=sys.stdout)
    if arguments.write is not None:
        write_scaling(scaling, arguments.write)


if __name__ == "__main__":
    main()
