"""The C++ client on the board: built there by the board's own compiler, its tests run, its consumers fed."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from flight.icd.limits import DEFAULT_ENDPOINTS
from hil.board.packages import Apt, find_mirror
from tests.hil.board.campaign import ROOT, UNIT, Campaign

PACKAGES = ("g++", "make", "cmake", "libzmq3-dev", "libmsgpack-cxx-dev", "zlib1g-dev")
SOURCES = ("CMakeLists.txt", "cmake", "flight/gnc", "tests/flight/gnc", "tests/golden")
# As released, but for the last turn of the optimizer, which takes an emulated processor as long as all before it.
CONFIGURE = "cmake -S client -B client/build -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE=-O2"
CONSUMERS = ("hazard", "navigation")
BUILD_S = 3 * 3600.0


def native_client(campaign: Campaign) -> dict[str, Any]:
    """Compiler, build, tests, and a frame's maps taken by the example consumers."""
    campaign.serve(campaign.tiny)
    install_s = _timed(lambda: _install_compiler(campaign))
    _send_sources(campaign)
    # It has the board's memory to itself meanwhile.
    campaign.shell(f"sudo systemctl stop {UNIT}")
    build_s = _timed(lambda: _build(campaign))
    tests = count_tests(_run(campaign, "cd client/build && ctest --timeout 600 2>&1 || true", 3600.0))
    lines = _feed_consumers(campaign)
    return {
        "native_compiler": _run(campaign, "g++ --version | head -1", 60.0),
        "native_packages_s": install_s,
        "native_build_s": build_s,
        "native_tests": tests["run"],
        "native_tests_failed": tests["failed"],
        "native_consumers_fed": sum(bool(re.match(r"frame \d+: \S", line)) for line in lines.values()),
        "native_consumers": lines,
    }


def missing_packages(files: Iterable[Path], installed: str) -> list[Path]:
    """The packages' files that a board does not have yet.

    Args:
        files: name_version_architecture.deb, as apt names them.
        installed: a line "name version" for each package of the board.
    """
    known = set(installed.splitlines())
    return [path for path in files if " ".join(unquote(path.name).split("_")[:2]) not in known]


def count_tests(said: str) -> dict[str, int]:
    """How many tests ctest ran, and how many of them failed.

    Raises:
        RuntimeError: it did not say so; with its last line.
    """
    found = re.search(r"(\d+) tests failed out of (\d+)", said)
    if found is None:
        raise RuntimeError(f"ctest: expected a count of tests, got {(said.splitlines() or ['nothing'])[-1]!r}")
    return {"failed": int(found[1]), "run": int(found[2])}


def _run(campaign: Campaign, command: str, timeout_s: float) -> str:
    """Run a command on the board that has to succeed; returns its output."""
    mark = "done: "
    said = campaign.shell(f"({command}) 2>&1; echo '{mark}'$?", timeout_s=timeout_s)
    output, _, code = said.rpartition(mark)
    if code != "0":
        last = (output.strip().splitlines() or ["nothing said"])[-1]
        raise RuntimeError(f"{command}: exit code {code or 'none'}: {last}")
    return output.strip()


def _timed(step: Callable[[], None]) -> float:
    began = time.monotonic()
    step()
    return round(time.monotonic() - began, 1)


def _install_compiler(campaign: Campaign) -> None:
    """Packages are fetched here, so that the board needs no network."""
    folder = campaign.board.cache / "apt_compiler"
    apt, log = Apt(folder, find_mirror()), campaign.work / "native_client.log"
    campaign.progress.begin("packages of the compiler")
    apt.update(campaign.progress, log)
    files = apt.download(campaign.progress, log, PACKAGES)
    missing = missing_packages(files, campaign.shell("dpkg-query -W -f '${Package} ${Version}\\n'"))
    if missing:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path in missing:
                tar.add(path, f"debs/{path.name}")
        campaign.shell("rm -rf debs && tar -xf -", data=packed.getvalue())
        _run(campaign, "sudo DEBIAN_FRONTEND=noninteractive dpkg --force-unsafe-io -i debs/*.deb && rm -r debs", 3600.0)
    campaign.progress.end(f"{len(missing)} of {len(files)} installed")


def _send_sources(campaign: Campaign) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in SOURCES:
            tar.add(ROOT / name, f"client/{name}")
    campaign.shell("tar -xf -", data=packed.getvalue())


def _build(campaign: Campaign) -> None:
    campaign.progress.begin("C++ client")
    # What an interrupted campaign has built stays built.
    _run(campaign, f"{CONFIGURE} && cmake --build client/build", BUILD_S)
    campaign.progress.end()


def _feed_consumers(campaign: Campaign) -> dict[str, str]:
    """A frame through the service; returns the line that each consumer prints of its map."""
    campaign.serve(campaign.tiny)
    command = f"timeout 300 client/build/rubblemap_{{}}_consumer {DEFAULT_ENDPOINTS['products']} 1"
    running = {
        name: subprocess.Popen([*campaign.ssh, command.format(name)], stdout=subprocess.PIPE, text=True)
        for name in CONSUMERS
    }
    time.sleep(10.0)  # a login and a subscription, on a slow board
    campaign.answer_frame()
    return {name: process.communicate(timeout=330.0)[0].strip() for name, process in running.items()}
