"""The reliability campaigns: run them, and write docs/reliability.json and docs/reliability.md.

usage: python -m tests.reliability [--short] [--only NAME ...] [--out DIR] [--write DOCS]

Each campaign's figures are kept in --out as soon as it is done, and it is not run again until --again.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flight.command_line import CommandParser, run_program
from flight.option_types import existing_folder, output_folder
from tests.reliability import (
    decoders,
    flips,
    flood,
    handshakes,
    kills,
    live_sockets,
    nonsense,
    pause,
    power_cuts,
    soak,
    swap,
    upsets,
)
from tests.reliability.report import write_report
from tests.tiny_bundle import write_tiny_bundle

SHIPPED = Path(__file__).parents[2] / "models" / "unet_h"
# name: (campaign, which bundle, count in full, count in short)
CAMPAIGNS: dict[str, tuple[Callable[[Path, Path, Any], dict[str, Any]], str, float, float]] = {
    "decoders": (decoders.run, "tiny", 1_200_000, 20_000),
    "live_sockets": (live_sockets.run, "tiny", 110_000, 3_000),
    "flips": (flips.run, "tiny", 1_000, 60),
    "power_cuts": (power_cuts.run, "tiny", 200, 3),
    "nonsense": (nonsense.run, "shipped", 3_000, 40),
    "kills": (kills.run, "tiny", 200, 6),
    "pause": (pause.run, "tiny", 40, 4),
    "swap": (swap.run, "tiny", 60, 6),
    "upsets": (upsets.run, "shipped", 500, 4),
    "flood": (flood.run, "shipped", 60, 10),
    "handshakes": (handshakes.run, "tiny", 60, 10),
    "soak": (soak.run, "tiny", 50_000, 600),
}


def run_campaign(name: str, count: float, tiny: Path) -> dict[str, Any]:
    """Run one campaign in a folder of its own; returns its figures and how long it took."""
    campaign, which, _, _ = CAMPAIGNS[name]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="reliability_") as folder:
        figures = campaign(Path(folder), SHIPPED if which == "shipped" else tiny, count)
    return {**figures, "minutes": round((time.monotonic() - began) / 60.0, 1)}


def main() -> int:
    """Run the campaigns; the exit code is 0 when all ran, whatever their figures say."""
    parser = CommandParser(prog="python -m tests.reliability", description=__doc__.split("\n")[0])
    parser.add_argument("--short", action="store_true", help="a few of everything, minutes instead of hours")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(CAMPAIGNS),
        default=list(CAMPAIGNS),
        metavar="NAME",
        help="these campaigns (default: all)",
    )
    parser.add_argument("--again", action="store_true", help="run even what --out has figures of")
    parser.add_argument(
        "--out", type=output_folder, default=Path("out/reliability"), metavar="DIR", help="folder of the figures"
    )
    parser.add_argument(
        "--write",
        type=existing_folder,
        metavar="DOCS",
        help="write reliability.json and .md there, too (default: into --out only)",
    )
    return run_program(parser, _run)


def _run(arguments: argparse.Namespace) -> None:
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="reliability_") as folder:
        tiny: Path | None = None
        for name in arguments.only:
            kept = arguments.out / f"{name}.json"
            if kept.exists() and not arguments.again:
                print(f"{name}: figures are in {kept}", file=sys.stderr)
                continue
            tiny = tiny or write_tiny_bundle(Path(folder) / "tiny", networks=("First", "Second"))
            count = CAMPAIGNS[name][3 if arguments.short else 2]
            figures = run_campaign(name, int(count), tiny)
            kept.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
            print(json.dumps({name: figures}), flush=True)
    if arguments.write is not None:
        figures = {}
        for name in CAMPAIGNS:
            kept = arguments.out / f"{name}.json"
            if kept.exists():
                figures[name] = json.loads(kept.read_text(encoding="utf-8"))
        write_report(arguments.write, figures, platform.machine())


if __name__ == "__main__":
    sys.exit(main())
