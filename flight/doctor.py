"""What is wrong with a board, in plain words: everything that a person who helps would ask for.

Reads only; the one thing sent is `get_status` to the running service. What cannot be found out is said to be unknown.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
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
from flight.machine import ask, describe_machine, find_workers, read_memory_mib, read_text, read_throttling
from flight.service.statistics import cpu_temperature_c

UNIT = "rubblemap-flight"
_RUNTIMES = ("ai-edge-litert", "tflite-runtime")
_LIBRARIES = ("numpy", "pyzmq", "msgpack", "opencv-python-headless")
# Without these the int8 networks run several times slower.
_FAST_FEATURES = {"aarch64": ("asimddp",), "x86_64": ("avx2",)}
_LEAST_MEMORY_MIB, _LEAST_DISK_MIB, _HOTTEST_C = 400, 200, 80.0
# Before this the clock has never been set: the program was not yet written.
_EARLIEST = 1735689600.0
_TIMEOUT_S = 10.0
_UNKNOWN = "unknown, as the settings are"
_OURS = "a flight service"
_LISTENS = "0A"  # of a socket's state in /proc/net/tcp


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

    @property
    def settings_are_known(self) -> bool:
        """Whether the configuration is missing, so that defaults hold, or can be read and is TOML."""
        try:
            tomllib.loads(self.configuration.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return True
        except (OSError, ValueError):
            return False
        return True

    def settings(self) -> dict[str, Any]:
        """The configuration's tables; empty if it is missing or wrong."""
        with contextlib.suppress(OSError, ValueError):
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
    lines = [f"{'!' if finding.problem else ' '} {finding.name:12} {finding.value}" for finding in findings]
    problems = [f"  {finding.name}: {finding.problem}" for finding in findings if finding.problem]
    verdict = ["what is wrong:", *problems] if problems else ["nothing is wrong that could be seen"]
    return "\n".join([*lines, "", *verdict])


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _examine_versions(board: Board) -> Iterator[Finding]:
    machine = describe_machine(board.root)
    problem = "" if machine.bits == 64 else "a 32-bit system: there is no runtime for it; install the 64-bit edition"
    model = f"{machine.model}, " if machine.model else ""
    yield Finding("board", f"{model}{machine.virtual or 'a computer of its own'}")
    system = f"{machine.system}, {machine.architecture}, {machine.bits} bits, {machine.kernel}"
    yield Finding("system", system, problem)
    wanted = _FAST_FEATURES.get(machine.architecture, ())
    absent = [name for name in wanted if machine.features and name not in machine.features]
    problem = f"without {', '.join(absent)} int8 networks are several times slower" if absent else ""
    shown = ", ".join(name for name in wanted if name in machine.features) or "no features known"
    yield Finding("processor", f"{machine.processor}, {machine.cores} cores, {shown}", problem)
    yield Finding("rubblemap", f"{__version__}, Python {platform.python_version()} ({sys.executable})")
    runtime = [f"{name} {_version(name)}" for name in _RUNTIMES if _version(name)]
    missing = "no TFLite runtime is installed: pip install ai-edge-litert"
    yield Finding("runtime", ", ".join(runtime) or "none", "" if runtime else missing)
    absent = [name for name in _LIBRARIES if not _version(name)]
    found = ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES if name not in absent)
    yield Finding("libraries", found, f"missing: {', '.join(absent)}; pip install {' '.join(absent)}" if absent else "")


def _examine_memory(board: Board) -> Iterator[Finding]:
    values = read_memory_mib(board.root)
    free = values.get("MemAvailable")
    # What the service holds already is not to be free besides.
    short = free is not None and free < _LEAST_MEMORY_MIB and not find_workers(board.root)
    problem = f"expected {_LEAST_MEMORY_MIB} MiB available, for the service: end other programs, or serve one network"
    yield Finding("memory", f"{free} MiB available of {values.get('MemTotal')} MiB", problem if short else "")
    controllers = read_text(board.root / "sys/fs/cgroup/cgroup.controllers").split()
    if controllers and "memory" not in controllers:
        advice = "the unit's limits of memory are void: cgroup_enable=memory in the kernel's command line"
        yield Finding("limits", "the kernel does not limit memory", advice)


def _examine_heat(board: Board) -> Iterator[Finding]:
    celsius = cpu_temperature_c(board.root)
    hot = celsius is not None and celsius > _HOTTEST_C
    problem = f"hotter than {_HOTTEST_C:.0f} degrees: the processor slows down; cool it" if hot else ""
    yield Finding("temperature", "no sensor" if celsius is None else f"{celsius:.0f} degrees C", problem)
    said, now = read_throttling()
    if said:
        yield Finding("throttling", said, f"now: {', '.join(now)}; see power supply and cooling" if now else "")


def _examine_clock(board: Board) -> Iterator[Finding]:
    now = time.time()
    problem = "the clock is not set: capture times and epochs will be wrong; sudo date -s, or a network for its time"
    problem = "" if now > _EARLIEST else problem
    synchronised = ask("timedatectl", "show", "-p", "NTPSynchronized", "--value") or "unknown"
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
        denied = not os.access(board.configuration, os.R_OK)
        advice = "; run this with sudo" if denied else "; mend that line, then sudo systemctl restart " + UNIT
        yield Finding("settings", f"{board.configuration}: {'not readable' if denied else 'wrong'}", f"{error}{advice}")


def _examine_bundle(board: Board) -> Iterator[Finding]:
    try:
        bundle = load_bundle(board.bundle)
        yield Finding("bundle", f"{bundle.name} {bundle.version}, sha256 {bundle.sha256[:16]}..., files are whole")
    except (BundleError, OSError) as error:
        advice = (
            "copy it anew (`hil deploy`)"
            if board.bundle.exists()
            else "`hil deploy` installs one, --bundle names another"
        )
        yield Finding("bundle", str(board.bundle), f"{error}; {advice}")


def _examine_storage(board: Board) -> Iterator[Finding]:
    if not board.settings_are_known:
        yield Finding("storage", _UNKNOWN)
        return
    state = board.settings().get("storage", {}).get("state")
    folder = Path(state) if state else board.root
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free, status = shutil.disk_usage(existing).free >> 20, os.statvfs(existing)
    problem = ""
    if state and status.f_flag & os.ST_RDONLY:
        problem = f"{existing} is read-only: nothing can be stored; sudo mount -o remount,rw, or check the card"
    elif status.f_files and not status.f_favail:
        problem = f"no more files can be made on the disk of {existing}: remove some"
    elif free < _LEAST_DISK_MIB:
        problem = (
            f"expected {_LEAST_DISK_MIB} MiB free, for commanded parameters and uplinked bundles: remove files, old "
            "logs (sudo journalctl --vacuum-size=50M) or releases in /opt/rubblemap/releases"
        )
    where = str(folder) if state else "no state folder (storage.state): nothing survives a restart"
    missing = f", of which {existing} is there" if existing != folder else ""
    yield Finding("storage", f"{where}{missing}, {free} MiB free", problem)


def _examine_keys(board: Board) -> Iterator[Finding]:
    if not board.settings_are_known:
        yield Finding("keys", _UNKNOWN)
        return
    folder = board.settings().get("security", {}).get("keys")
    if not folder:
        yield Finding("keys", "none: loopback and ipc:// only")
        return
    try:
        allowed = load_service_keys(Path(folder)).allowed
        yield Finding("keys", ", ".join(f"{role}: {len(keys)}" for role, keys in allowed.items()))
    except PermissionError:
        yield Finding("keys", f"{folder}: not readable by this user; run this with sudo to examine them")
    except (KeyFileError, OSError) as error:
        yield Finding("keys", str(folder), str(error))


def _examine_unit(board: Board) -> Iterator[Finding]:
    shown = ask("systemctl", "show", "-p", "LoadState,ActiveState,SubState,NRestarts,UnitFileState", UNIT)
    state = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    if not state or state.get("LoadState") == "not-found":
        yield Finding("unit", "not installed: systemd neither starts nor watches the service here")
        return
    problem = ""
    if state["ActiveState"] == "activating":
        problem = f"the service is starting; if that lasts: journalctl -u {UNIT} -e"
    elif state["ActiveState"] != "active":
        problem = f"the service is {state['ActiveState']}: journalctl -u {UNIT} -e; then sudo systemctl start {UNIT}"
    elif int(state.get("NRestarts") or 0) > 0:
        problem = f"systemd has restarted it {state['NRestarts']} times: journalctl -u {UNIT}"
    enabled = state.get("UnitFileState")
    yield Finding("unit", f"{state['ActiveState']} ({state.get('SubState')}), at boot: {enabled}", problem)
    events = ask("journalctl", "-u", UNIT, "-n", "10", "-o", "short-iso", "--no-pager")
    if events:
        yield Finding("events", "the last ones:\n" + "\n".join(f"    {line}" for line in events.splitlines()))


def _examine_service(board: Board) -> Iterator[Finding]:
    endpoints = DEFAULT_ENDPOINTS | board.settings().get("endpoints", {})
    endpoint = reachable(endpoints["commands"])
    taken = {name: listener for name in endpoints if (listener := _find_listener(endpoints[name])) is not None}
    if "commands" not in taken:
        yield Finding("service", f"does not run: nothing listens at {endpoint}", _explain_absence(endpoints, taken))
        return
    try:
        with Commander(endpoint, _TIMEOUT_S, board.keys) as commander:
            status = commander.send("get_status")
    except (TimeoutError, CommandFailed, OSError, ValueError) as error:
        hint = (
            "; it has keys: --keys names a commander's" if board.settings().get("security") and not board.keys else ""
        )
        others = _name_others(endpoints, taken)
        problem = others or f"{error}; something listens there{hint}"
        yield Finding("service", f"no answer at {endpoint}", problem)
        return
    problem = "" if status["state"] == "ready" else f"its state is {status['state']}: see docs/operations.md#states"
    counted = [f"{name} {n}" for name, n in status.get("counters", {}).items() if isinstance(n, int) and n]
    yield Finding("service", ", ".join([status["state"], *counted]), problem)
    total = status.get("latency_ms", {}).get("total", {})
    if total.get("max"):
        parameters = status.get("parameters", {})
        passes = f"{parameters.get('passes')} passes wanted, deadline {parameters.get('deadline_ms') or 'none'}"
        yield Finding("frames", f"{total['p50']:.0f} ms usually, {total['max']:.0f} ms at most; {passes}")


def _explain_absence(endpoints: dict[str, str], taken: dict[str, str]) -> str:
    """Why the service may not run, and what to do. taken: who listens at its endpoints."""
    start = f"sudo systemctl start {UNIT}, or `flight serve --bundle DIR`"
    return _name_others(endpoints, taken) or start


def _name_others(endpoints: dict[str, str], taken: dict[str, str]) -> str:
    """What to do about other programs at the service's endpoints; "" without."""
    others = [f"{name} ({endpoints[name]}) by {who}" for name, who in taken.items() if who not in ("", _OURS)]
    return f"its port is taken: {', '.join(others)}; end that program, or change [endpoints]" if others else ""


def _find_listener(endpoint: str) -> str | None:
    """Which program listens at an endpoint, as of _name_owner; None if nothing listens."""
    if not endpoint.startswith("tcp://"):
        path = Path(endpoint.removeprefix("ipc://"))
        return "" if path.exists() else None
    port = int(endpoint.rpartition(":")[2])
    for table in ("tcp", "tcp6"):
        for line in read_text(Path("/proc/net") / table).splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                return _name_owner(fields[9])
    return None


def _name_owner(inode: str) -> str:
    """The program that has a socket, _OURS for a flight service; "" where this user may not look."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(str(entry.readlink()) == f"socket:[{inode}]" for entry in (folder / "fd").iterdir()):
                words = read_text(folder / "cmdline").split("\0")
                ours = "serve" in words and any(word.endswith(("/flight", "flight.cli")) for word in words)
                return _OURS if ours else f"{read_text(folder / 'comm')} (pid {folder.name})"
    return ""


_PARTS: tuple[Callable[[Board], Iterator[Finding]], ...] = (
    _examine_versions,
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
