"""The options of several commands that say where images are rendered."""

from __future__ import annotations

import argparse

from flight.option_types import integer


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Add --workers and --scheduler."""
    parser.add_argument(
        "--workers", type=integer(1, 256), default=2, metavar="N", help="rendering processes on this computer"
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="render on the Dask cluster whose scheduler answers there, as tcp://HOST:PORT (default: on this computer)",
    )
