"""What is wrong with a board, in plain words: everything that a person who helps would ask for.

Reads only; the one thing sent is `get_status` to the running service. What cannot be found out is said to be unknown.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flight import __version__
from flight.bundle import BundleError, load_bundle
from flight.client import Commander, CommandFailed
from flight.endpoints import reachable
from flight.icd.limits import DEFAULT_ENDPOINTS
from flight.keys import KeyFileError, load_service_keys

UNIT = "rubblemap-flight"
_RUNTIMES = ("ai-edge-litert", "tflite-runtime")
_LIBRARIES = ("numpy", "pyzmq", "msgpack", "opencv-python-headless")
# Without these the int8 networks run several times slower.
_FAST_FEATURES = {"aarch64": ("asimddp",), "x86_64": ("avx2",)}
_LEAST_MEMORY_MIB, _LEAST_DISK_MIB, _HOTTEST_C = 400, 200, 80.0
# Before this the clock has never been set: the program was not yet written.
_EARLIEST = 1735689600.0
_THROTTLING = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Finding:
    """What was found about one thing.

    Attributes:
        name: of the thing.
        value: how it is.
        problem: what is wrong and what to do, "" if nothing is.
    """

    name: str
    value: str
    problem: str = ""


@dataclass(frozen=True)
class Board:
    """What is to be examined.

    Attributes:
        root: "/"; another folder stands in for the system's files in tests.
        bundle: folder of the bundle that is served.
        configuration: the service's, may be missing.
        keys: a client's folder, to ask a service that has keys; None without.
    """

    root: Path
    bundle: Path
    configuration: Path
    keys: Path | None = None

    def read(self, path: str) -> str:
        """A file of the system; "" if it cannot be read."""
        with contextlib.suppress(OSError):
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()
        return ""

    def settings(self) -> dict[str, Any]:
        """The configuration's tables; empty if it is missing or wrong."""
        with contextlib.suppress(OSError, tomllib.TOMLDecodeError):
            return tomllib.loads(self.configuration.read_text(encoding="utf-8"))
        return {}


def examine(board: Board) -> list[Finding]:
    """Find out everything; a part that fails says so, and the others go on."""
    findings: list[Finding] = []
    for part in _PARTS:
        try:
            findings += part(board)
        except Exception as error:
            name = part.__name__.removeprefix("_examine_")
            findings.append(Finding(name, "unknown", f"could not be found out: {type(error).__name__}: {error}"))
    return findings


def describe(findings: list[Finding]) -> str:
    """The findings as text, what is wrong last."""
    lines = [f"{finding.name:12} {finding.value}" for finding in findings]
    problems = [f"  {finding.name}: {finding.problem}" for finding in findings if finding.problem]
    verdict = ["what is wrong:", *problems] if problems else ["nothing is wrong that could be seen"]
    return "\n".join([*lines, "", *verdict])


def _run(*command: str) -> str:
    """What a program writes; "" if it is not there, fails or takes too long."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""
    return ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _examine_versions(board: Board) -> Iterator[Finding]:
    bits = struct.calcsize("P") * 8
    problem = "" if bits == 64 else "a 32-bit system: there is no runtime for it; install the 64-bit edition"
    names = [line.split("=", 1)[1].strip('"') for line in board.read("etc/os-release").splitlines() if "PRETTY" in line]
    yield Finding(
        "system", f"{(names or ['Linux'])[0]}, {platform.machine()}, {bits} bits, {platform.release()}", problem
    )
    yield Finding("rubblemap", f"{__version__}, Python {platform.python_version()} ({sys.executable})")
    runtime = [f"{name} {_version(name)}" for name in _RUNTIMES if _version(name)]
    missing = "no TFLite runtime is installed: pip install ai-edge-litert"
    yield Finding("runtime", ", ".join(runtime) or "none", "" if runtime else missing)
    absent = [name for name in _LIBRARIES if not _version(name)]
    found = ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES if name not in absent)
    yield Finding("libraries", found, f"missing: {', '.join(absent)}" if absent else "")


def _examine_processor(board: Board) -> Iterator[Finding]:
    text = board.read("proc/cpuinfo")
    rows = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in rows.items()}
    features = (fields.get("Features") or fields.get("flags") or "").split()
    wanted = _FAST_FEATURES.get(platform.machine(), ())
    absent = [name for name in wanted if features and name not in features]
    model = fields.get("Model") or fields.get("model name") or "unknown model"
    problem = f"without {', '.join(absent)} int8 networks are several times slower" if absent else ""
    shown = ", ".join(name for name in wanted if name in features) or "no features known"
    yield Finding("processor", f"{model}, {os.cpu_count()} cores, {shown}", problem)


def _examine_memory(board: Board) -> Iterator[Finding]:
    rows = (line.split() for line in board.read("proc/meminfo").splitlines())
    values = {row[0].rstrip(":"): int(row[1]) // 1024 for row in rows if len(row) > 1}
    free = values.get("MemAvailable")
    problem = "" if free is None or free >= _LEAST_MEMORY_MIB else f"expected {_LEAST_MEMORY_MIB} MiB available"
    yield Finding("memory", f"{free} MiB available of {values.get('MemTotal')} MiB", problem)
    controllers = board.read("sys/fs/cgroup/cgroup.controllers").split()
    if controllers and "memory" not in controllers:
        advice = "the unit's limits of memory are void: cgroup_enable=memory in the kernel's command line"
        yield Finding("limits", "the kernel does not limit memory", advice)


def _examine_heat(board: Board) -> Iterator[Finding]:
    zones = sorted((board.root / "sys/class/thermal").glob("thermal_zone*/temp"))
    celsius = [int(text) / 1000 for text in (board.read(str(zone.relative_to(board.root))) for zone in zones) if text]
    hot = celsius and max(celsius) > _HOTTEST_C
    problem = f"hotter than {_HOTTEST_C:.0f} degrees: the processor slows down; cool it" if hot else ""
    yield Finding("temperature", f"{max(celsius):.0f} degrees C" if celsius else "no sensor", problem)
    throttled = _run("vcgencmd", "get_throttled").partition("=")[2]
    if throttled:
        bits = int(throttled, 16)
        now = [word for bit, word in _THROTTLING.items() if bits >> bit & 1]
        yield Finding("throttling", throttled, f"now: {', '.join(now)}; see power supply and cooling" if now else "")


def _examine_clock(board: Board) -> Iterator[Finding]:
    now = time.time()
    problem = "" if now > _EARLIEST else "the clock is not set: capture times and epochs will be wrong"
    synchronised = _run("timedatectl", "show", "-p", "NTPSynchronized", "--value") or "unknown"
    yield Finding(
        "clock", f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(now))} UTC, synchronised: {synchronised}", problem
    )


def _examine_configuration(board: Board) -> Iterator[Finding]:
    from flight.service.configuration import load_configuration

    if not board.configuration.exists():
        yield Finding("settings", f"{board.configuration}: not there, defaults hold")
        return
    try:
        load_configuration(board.configuration)
        yield Finding("settings", f"{board.configuration}: right")
    except (ValueError, OSError) as error:
        yield Finding("settings", f"{board.configuration}: wrong", str(error))


def _examine_bundle(board: Board) -> Iterator[Finding]:
    try:
        bundle = load_bundle(board.bundle)
        yield Finding("bundle", f"{bundle.name} {bundle.version}, sha256 {bundle.sha256[:16]}..., files are whole")
    except (BundleError, OSError) as error:
        yield Finding("bundle", str(board.bundle), f"{error}; install it again")


def _examine_storage(board: Board) -> Iterator[Finding]:
    state = board.settings().get("storage", {}).get("state")
    folder = Path(state) if state else board.root
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free >> 20
    problem = "" if free >= _LEAST_DISK_MIB else f"expected {_LEAST_DISK_MIB} MiB free, to store commands"
    where = str(folder) if state else "no state folder: nothing survives a restart"
    yield Finding("storage", f"{where}, {free} MiB free", problem)


def _examine_keys(board: Board) -> Iterator[Finding]:
    folder = board.settings().get("security", {}).get("keys")
    if not folder:
        yield Finding("keys", "none: loopback and ipc:// only")
        return
    try:
        allowed = load_service_keys(Path(folder)).allowed
        yield Finding("keys", ", ".join(f"{role}: {len(keys)}" for role, keys in allowed.items()))
    except PermissionError:
        yield Finding("keys", f"{folder}: readable by the service only; run this with sudo to examine them")
    except (KeyFileError, OSError) as error:
        yield Finding("keys", str(folder), str(error))


def _examine_unit(board: Board) -> Iterator[Finding]:
    shown = _run("systemctl", "show", "-p", "LoadState,ActiveState,SubState,NRestarts,UnitFileState", UNIT)
    state = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    if not state or state.get("LoadState") == "not-found":
        yield Finding("unit", "not installed")
        return
    problem = ""
    if state["ActiveState"] != "active":
        problem = f"the service is {state['ActiveState']}: journalctl -u {UNIT} -e"
    elif int(state.get("NRestarts") or 0) > 0:
        problem = f"systemd has restarted it {state['NRestarts']} times: journalctl -u {UNIT}"
    yield Finding(
        "unit", f"{state['ActiveState']} ({state.get('SubState')}), at boot: {state.get('UnitFileState')}", problem
    )
    events = _run("journalctl", "-u", UNIT, "-n", "10", "-o", "short-iso", "--no-pager")
    if events:
        yield Finding("events", "the last ones:\n" + "\n".join(f"  {line}" for line in events.splitlines()))


def _examine_service(board: Board) -> Iterator[Finding]:
    endpoints = DEFAULT_ENDPOINTS | board.settings().get("endpoints", {})
    endpoint = reachable(endpoints["commands"])
    try:
        with Commander(endpoint, _TIMEOUT_S, board.keys) as commander:
            status = commander.send("get_status")
    except (TimeoutError, CommandFailed, OSError, ValueError) as error:
        hint = "; --keys names a commander's keys" if board.settings().get("security") and board.keys is None else ""
        yield Finding("service", f"no answer at {endpoint}", f"{error}{hint}{_who_listens(endpoint)}")
        return
    problem = "" if status["state"] == "ready" else f"its state is {status['state']}: see docs/operations.md"
    counted = [f"{name} {n}" for name, n in status.get("counters", {}).items() if isinstance(n, int) and n]
    yield Finding("service", ", ".join([status["state"], *counted]), problem)


def _who_listens(endpoint: str) -> str:
    """Whether anything listens at a TCP endpoint, in words."""
    if not endpoint.startswith("tcp://"):
        return ""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    with socket.socket() as probe:
        probe.settimeout(1.0)
        listens = probe.connect_ex((host, int(port))) == 0
    return "; something listens there" if listens else "; nothing listens there: the service does not run"


_PARTS: tuple[Callable[[Board], Iterator[Finding]], ...] = (
    _examine_versions,
    _examine_processor,
    _examine_memory,
    _examine_heat,
    _examine_clock,
    _examine_configuration,
    _examine_bundle,
    _examine_storage,
    _examine_keys,
    _examine_unit,
    _examine_service,
)
