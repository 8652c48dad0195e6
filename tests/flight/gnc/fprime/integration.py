"""The F Prime component, built and tested against the real service: `make integration-fprime FPRIME=DIR`.

Builds the library, F Prime's framework, the component's unit tests and the deployment in out/integration_fprime, runs
the unit tests, then the deployment between the service and fprime-gds. F Prime's folder is copied first, as its build
writes into it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from flight.command_line import CommandParser, run_program
from flight.option_types import integer
from tests.flight.gnc.steps import ROOT, StepError, first_lines, run_step

# What the component was written for; its requirements.txt names the tools that belong to it.
FPRIME_VERSION = "3.5.0"
OUT = ROOT / "out" / "integration_fprime"
LOGS = OUT / "logs"
_TOOLS = ("fprime-tools", "fprime-gds", "fprime-fpp-to-cpp")
_EXAMPLE = "make integration-fprime FPRIME=DIR [GOOGLETEST=DIR]"


def check_fprime(folder: str) -> Path:
    """Check that a folder is a checkout of F Prime of the version that the component is for.

    Args:
        folder: as given; "" for none.

    Raises:
        ValueError: it is not; says what was expected and what came.
    """
    expected = f"FPRIME: expected the folder of a checkout of F Prime {FPRIME_VERSION}"
    if not folder:
        raise ValueError(f"{expected}, got nothing: {_EXAMPLE}")
    path = Path(folder).resolve()
    requirements = path / "requirements.txt"
    if not (path / "cmake" / "FPrime.cmake").is_file() or not requirements.is_file():
        raise ValueError(f"{expected}, got {folder}, without cmake/FPrime.cmake or requirements.txt")
    found = re.search(r"^fprime-tools==(\S+)$", requirements.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None or found[1] != FPRIME_VERSION:
        version = "another" if found is None else found[1]
        raise ValueError(f"{expected}, got {folder}, whose requirements.txt names fprime-tools {version}")
    return path


def check_googletest(folder: str, fprime: Path) -> Path:
    """Find GoogleTest: in the folder, or where F Prime has it as a submodule.

    Args:
        folder: as given; "" for none.
        fprime: F Prime's checkout.

    Raises:
        ValueError: it is in neither.
    """
    path = Path(folder).resolve() if folder else fprime / "googletest"
    if not (path / "googletest" / "include" / "gtest" / "gtest.h").is_file():
        hint = "" if folder else f"; fetch the submodule, or {_EXAMPLE}"
        raise ValueError(f"GOOGLETEST: expected the folder of GoogleTest's sources, got {path}, without gtest.h{hint}")
    return path


def check_programs() -> None:
    """Check that what builds is there. Raises ValueError with the names of what is not."""
    missing = [name for name in ("cmake", "make", "c++") if shutil.which(name) is None]
    if missing:
        raise ValueError(f"integration-fprime: expected cmake, make and c++, got no {', '.join(missing)}")


def build(fprime: Path, googletest: Path, jobs: int) -> tuple[Path, Path]:
    """Build everything and run the unit tests.

    Args:
        fprime: F Prime's checkout.
        googletest: GoogleTest's sources.
        jobs: compilers at the same time.

    Returns:
        The folder of the tools' programs, and that of the deployment's build.

    Raises:
        StepError: a step failed.
    """
    tools = OUT / "venv" / "bin"
    if not (OUT / "venv" / "ready").exists():
        run_step(LOGS, "environment", sys.executable, "-m", "venv", "--clear", OUT / "venv")
        run_step(LOGS, "tools", tools / "python", "-m", "pip", "install", "--requirement", fprime / "requirements.txt")
        (OUT / "venv" / "ready").touch()
    framework, prefix, project = OUT / "fprime", OUT / "prefix", OUT / "project"
    shutil.copytree(fprime, framework, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git", "build-fprime-*"))
    shutil.copytree(googletest, framework / "googletest", dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git"))
    shutil.copytree(ROOT / "flight/gnc/fprime/deployment", project, dirs_exist_ok=True)
    settings = {
        "framework_path": framework,
        "project_root": project,
        "library_locations": ROOT / "flight/gnc/fprime/rubblemap",
    }
    lines = "".join(f"{key}: {value}\n" for key, value in settings.items())
    (project / "settings.ini").write_text(f"[fprime]\n{lines}", encoding="utf-8")

    options = ["-DRUBBLEMAP_BUILD_EXAMPLES=OFF", "-DRUBBLEMAP_BUILD_TESTS=OFF", "-DCMAKE_BUILD_TYPE=Release"]
    run_step(LOGS, "configure the library", "cmake", "-S", ROOT, "-B", OUT / "library", *options)
    run_step(LOGS, "build the library", "cmake", "--build", OUT / "library", "--parallel", jobs)
    run_step(LOGS, "install the library", "cmake", "--install", OUT / "library", "--prefix", prefix)

    # F Prime looks for its tools on the path.
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "VIRTUAL_ENV": str(OUT / "venv")}
    common = ["cmake", "-S", project, f"-DFPRIME_FRAMEWORK_PATH={framework}", f"-DCMAKE_PREFIX_PATH={prefix}"]
    # No optimization: the framework is most of the work, and is not what is tested.
    common += ["-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=", f"-DFPRIME_SUB_BUILD_JOBS={jobs}"]
    tests = ["-DBUILD_TESTING=ON", "-DFPRIME_ENABLE_FRAMEWORK_UTS=OFF", "-DFPRIME_ENABLE_UT_COVERAGE=OFF"]
    unit, flown = OUT / "build_tests", OUT / "build"
    program = "Rubblemap_MapClient_ut_exe"
    run_step(LOGS, "configure the unit tests", *common, "-B", unit, *tests, environment=environment)
    make = ["cmake", "--build", unit, "--parallel", jobs, "--target", program]
    run_step(LOGS, "build the unit tests", *make, environment=environment)
    (executable,) = unit.rglob(f"bin/*/{program}")
    run_step(LOGS, "unit tests", executable)
    run_step(LOGS, "configure the deployment", *common, "-B", flown, environment=environment)
    make = ["cmake", "--build", flown, "--parallel", jobs, "--target", "MapDeployment"]
    run_step(LOGS, "build the deployment", *make, environment=environment)
    return tools, flown


@contextmanager
def ground_system(tools: Path, dictionary: Path, folder: Path, port: int) -> Iterator[list[str]]:
    """fprime-gds without its page and without a deployment.

    Args:
        tools: folder of its programs.
        dictionary: the deployment's.
        folder: for its sockets and logs.
        port: on 127.0.0.1, where it waits for the deployment.

    Yields:
        The options by which its test interface finds it.
    """
    shared = ["--dictionary", str(dictionary), "--file-storage-directory", str(folder / "files")]
    shared += ["--zmq-transport", f"ipc://{folder}/gds_in", f"ipc://{folder}/gds_out"]
    link = ["--ip-address", "127.0.0.1", "--ip-port", str(port)]
    command = [tools / "fprime-gds", "--gui", "none", "--no-app", *shared, *link]
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    with (LOGS / "fprime-gds.log").open("wb") as log:
        process = subprocess.Popen(
            [*map(str, command), "--logs", str(folder / "gds"), "--log-directly"],
            stdout=log,
            stderr=log,
            env=environment,
            cwd=folder,
            start_new_session=True,  # it starts processes of its own, which end with it
        )
        try:
            _wait_for_port(process, port)
            yield [*shared, "--logs", str(folder / "checks")]
        finally:
            _end_group(process)


def _wait_for_port(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 120.0
    while process.poll() is None and time.monotonic() < deadline:
        table = Path("/proc/net/tcp").read_text(encoding="ascii")
        if re.search(rf": 0100007F:{port:04X} \S+ 0A ", table):  # 127.0.0.1, listening; without connecting to it
            return
        time.sleep(0.2)
    raise StepError(f"fprime-gds: expected it to listen on port {port} in 120 s; see {OUT}/logs/fprime-gds.log")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    for signal_number in (15, 9):
        try:
            os.killpg(process.pid, signal_number)
            process.wait(10.0)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def check_from_the_ground(tools: Path, flown: Path) -> None:
    """Run ground_checks.py with the service, the deployment and fprime-gds.

    Args:
        tools: folder of the tools' programs.
        flown: the deployment's build.

    Raises:
        StepError: a check failed.
    """
    (deployment,) = flown.rglob("bin/*/MapDeployment")
    (dictionary,) = flown.rglob("MapDeploymentTopologyDictionary.json")
    with socket.socket() as free, tempfile.TemporaryDirectory(prefix="rubblemap_fprime_") as name:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        folder = Path(name)
        dark = folder / "dark"
        dark.mkdir()
        for number in range(2):
            cv2.imwrite(str(dark / f"{number}.png"), np.zeros((256, 256), np.uint8))
        checks = {
            "python": sys.executable,
            "root": str(ROOT),
            "bundle": str(ROOT / "models" / "unet_h"),
            "deployment": str(deployment),
            "dark": str(dark),
            "folder": name,
            "port": port,
        }
        environment = {**os.environ, "RUBBLEMAP_CHECKS": json.dumps(checks), "PYTHONPATH": ""}
        try:
            with ground_system(tools, dictionary, folder, port) as options:
                pytest = [tools / "python", "-m", "pytest", "--rootdir", folder, "--noconftest", "-v", "-x"]
                pytest += ["-p", "no:cacheprovider", ROOT / "tests/flight/gnc/fprime/ground_checks.py"]
                run_step(LOGS, "checks from the ground", *pytest, *options, environment=environment, folder=folder)
        finally:
            for log in folder.glob("*.log"):
                shutil.copy(log, LOGS)


def describe_versions(tools: Path, googletest: Path) -> str:
    """The versions that were used, in a line."""
    listing = subprocess.run(
        [tools / "python", "-m", "pip", "list", "--format", "freeze"], capture_output=True, text=True, check=True
    ).stdout
    found = dict(line.split("==") for line in listing.splitlines() if "==" in line)
    versions = [f"F Prime {FPRIME_VERSION}", *(f"{name} {found[name]}" for name in _TOOLS)]
    stated = re.search(r"GOOGLETEST_VERSION (\S+)\)", (googletest / "CMakeLists.txt").read_text(encoding="utf-8"))
    versions.append(f"GoogleTest {stated[1] if stated else 'of an unknown version'}")
    return ", ".join([*versions, *first_lines(("cmake", "c++"))])


def main(argv: list[str] | None = None) -> int:
    """Run everything; returns the exit code."""
    parser = CommandParser(
        prog="python -m tests.flight.gnc.fprime.integration",
        description=__doc__.split("\n")[0] if __doc__ else None,
        epilog=f"example:\n  {_EXAMPLE}",
    )
    parser.add_argument("--fprime", default="", metavar="DIR", help=f"checkout of F Prime {FPRIME_VERSION}")
    parser.add_argument(
        "--googletest", default="", metavar="DIR", help="GoogleTest's sources (default: F Prime's submodule)"
    )
    parser.add_argument("--jobs", type=integer(1), default=2, metavar="N", help="compilers at the same time")
    return run_program(parser, _run, argv)


def _run(arguments: argparse.Namespace) -> int:
    fprime = check_fprime(arguments.fprime)
    googletest = check_googletest(arguments.googletest, fprime)
    check_programs()
    try:
        tools, flown = build(fprime, googletest, arguments.jobs)
        print(f"versions: {describe_versions(tools, googletest)}", flush=True)
        check_from_the_ground(tools, flown)
    except StepError as error:
        print(error, file=sys.stderr)
        return 1
    print("passed: unit tests, and checks from the ground", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
