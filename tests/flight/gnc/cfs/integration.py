"""The cFS app, built into a mission and tested with the real service: `make integration-cfs CFE=DIR OSAL=DIR PSP=DIR`.

Builds the library and a mission of cFE, OSAL, PSP, the app and a link to the ground in out/integration_cfs, runs
core-cpu1 and the service, and checks the app by the packets that it sends and takes. NASA's folders are only read.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from flight.command_line import CommandParser, run_program
from flight.option_types import integer
from tests.flight.gnc.cfs.mission import VERSIONS, assemble, build, check_sources
from tests.flight.gnc.steps import ROOT, StepError, first_lines, run_step

OUT = ROOT / "out" / "integration_cfs"
_EXAMPLE = "make integration-cfs CFE=DIR OSAL=DIR PSP=DIR"


def check_from_the_ground(program: Path) -> None:
    """Run ground_checks.py with core-cpu1 and the service.

    Args:
        program: core-cpu1, in its folder.

    Raises:
        StepError: a check failed.
    """
    with tempfile.TemporaryDirectory(prefix="rubblemap_cfs_") as folder:
        os.environ["RUBBLEMAP_CHECKS"] = json.dumps({"program": str(program), "folder": folder})
        pytest = [
            sys.executable,
            "-m",
            "pytest",
            "-o",
            "addopts=",
            "--noconftest",
            "-v",
            "-x",
            "-p",
            "no:cacheprovider",
        ]
        try:
            run_step(OUT / "logs", "checks from the ground", *pytest, ROOT / "tests/flight/gnc/cfs/ground_checks.py")
        finally:
            for log in Path(folder).glob("*.log"):
                shutil.copy(log, OUT / "logs")


def describe_versions() -> str:
    """The versions that were used, in a line."""
    versions = [f"{name} {version}" for name, version in VERSIONS.items()]
    return ", ".join([*versions, *first_lines(("cmake", "cc"))])


def main(argv: list[str] | None = None) -> int:
    """Run everything; returns the exit code."""
    parser = CommandParser(
        prog="python -m tests.flight.gnc.cfs.integration",
        description=__doc__.split("\n")[0] if __doc__ else None,
        epilog=f"example:\n  {_EXAMPLE}",
    )
    parser.add_argument("--cfs", default="", metavar="DIR", help="folder with cfe, osal and psp in it (default: none)")
    for name in ("cfe", "osal", "psp"):
        help_text = (
            f"checkout of NASA's {name.upper()} {VERSIONS[name.upper()]} (default: {name} in the folder of --cfs)"
        )
        parser.add_argument(f"--{name}", default="", metavar="DIR", help=help_text)
    parser.add_argument("--jobs", type=integer(1), default=2, metavar="N", help="compilers at the same time")
    return run_program(parser, _run, argv)


def _run(arguments: argparse.Namespace) -> int:
    folders = {"CFE": arguments.cfe, "OSAL": arguments.osal, "PSP": arguments.psp}
    sources = check_sources(folders, arguments.cfs)
    try:
        assemble(sources, OUT / "mission")
        flown = build(OUT / "mission", arguments.jobs, OUT / "logs")
        print(f"versions: {describe_versions()}", flush=True)
        check_from_the_ground(flown / "core-cpu1")
    except StepError as error:
        print(error, file=sys.stderr)
        return 1
    print("passed: checks from the ground", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
