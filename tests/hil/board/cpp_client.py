"""The C++ client built on the board itself, with Debian's compiler there; its tests, and its consumer fed."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

from hil.board.packages import Apt, find_mirror
from tests.hil.board.campaign import ROOT, Campaign

COMPILER = ("g++", "cmake", "make", "libzmq3-dev", "zlib1g-dev", "libmsgpack-cxx-dev")
SOURCES = ("CMakeLists.txt", "CMakePresets.json", "cmake", "flight/gnc", "tests/flight/gnc", "tests/golden")
# What the emulated board compiles within reason: without optimisation, and not every program.
TESTS = ("golden", "encoding", "product")
CONSUMER = "navigation_consumer"
_BUILD_S = 3600.0


def cpp_client(campaign: Campaign) -> dict[str, Any]:
    """Install the compiler, build library, tests and consumer there, and run them."""
    campaign.serve(campaign.tiny)
    _install_compiler(campaign)
    _send_sources(campaign)
    began = time.monotonic()
    options = "-DCMAKE_BUILD_TYPE= -DRUBBLEMAP_WARNINGS_AS_ERRORS=ON"
    targets = " ".join(f"rubblemap_{name}" for name in (CONSUMER, *(f"{name}_test" for name in TESTS)))
    _must(campaign, f"cd cpp && cmake -B build {options} && cmake --build build --target {targets}")
    build_s = round(time.monotonic() - began, 1)
    tested = _must(campaign, f"cd cpp/build && ctest --output-on-failure -R '^({'|'.join(TESTS)})$'")
    passed = re.search(r"(\d+)% tests passed, (\d+) tests failed out of (\d+)", tested)
    fed = _feed(campaign)
    return {
        "cpp_compiler": _must(campaign, "g++ --version").splitlines()[0],
        "cpp_built_natively": [CONSUMER, *TESTS],
        "cpp_build_s": build_s,
        "cpp_tests_passed": passed is not None and passed[2] == "0" and int(passed[3]) == len(TESTS),
        "cpp_consumer_said": fed,
        "cpp_consumer_fed": fed.startswith("frame 0: "),
    }


def _must(campaign: Campaign, command: str) -> str:
    """Run a command that has to succeed; returns its output."""
    done = subprocess.run([*campaign.ssh, f"({command}) 2>&1"], capture_output=True, check=False, timeout=_BUILD_S)
    text = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode:
        raise RuntimeError(f"{command.split(' ')[0]}: {text[-2000:]}")
    return text


def _install_compiler(campaign: Campaign) -> None:
    """Fetch the packages here, and install on the board those that it has not: it has no way out."""
    folder = campaign.board.cache / "apt_compiler"
    folder.mkdir(parents=True, exist_ok=True)
    apt = Apt(folder, find_mirror())
    campaign.progress.begin("packages of the compiler")
    apt.update(campaign.progress, folder / "log")
    packages = apt.download(campaign.progress, folder / "log", COMPILER)
    campaign.progress.end(f"{len(packages)}")
    installed = set(campaign.shell("dpkg-query -W -f '${Package}\\n'").splitlines())
    missing = [path for path in packages if path.name.split("_")[0] not in installed]
    if missing:
        campaign.send(*missing)
        names = " ".join(path.name for path in missing)
        _must(campaign, f"sudo DEBIAN_FRONTEND=noninteractive dpkg --install {names} && rm {names}")


def _send_sources(campaign: Campaign) -> None:
    listed = subprocess.run(["git", "ls-files", *SOURCES], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in listed.splitlines():
            tar.add(ROOT / name, str(Path("cpp") / name))
    campaign.shell("tar -xf - && sync", data=packed.getvalue())


def _feed(campaign: Campaign) -> str:
    """What the consumer prints of a frame that the service answers."""
    command = f"timeout 600 cpp/build/rubblemap_{CONSUMER} tcp://127.0.0.1:5602 1"
    with subprocess.Popen([*campaign.ssh, command], stdout=subprocess.PIPE, text=True) as consumer:
        time.sleep(5.0)  # its subscription takes a moment to reach the publisher
        campaign.answer_frame()
        assert consumer.stdout is not None
        return consumer.stdout.read().strip()
