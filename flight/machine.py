"""What a computer is, and how it is: facts from the system's files and programs. Standard library only."""

from __future__ import annotations

import contextlib
import os
import platform
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_S = 60.0
# Parts of Arm's processors as the kernel numbers them, of boards that fly or may.
_ARM_PARTS = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd0e": "Cortex-A76AE",
    "0xd40": "Neoverse-V1",
    "0xd41": "Cortex-A78",
    "0xd42": "Cortex-A78AE",
    "0xd49": "Neoverse-N2",
    "0xd4f": "Neoverse-V2",
}
_THROTTLING = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}


class NoAnswerError(Exception):
    """A program that did not answer in time: what it would have said is not known."""


@dataclass(frozen=True)
class Machine:
    """A computer.

    Attributes:
        model: name of the board or computer, "" if it does not tell.
        processor: its name.
        architecture: "aarch64", "x86_64".
        features: of the processor, as the kernel names them.
        cores: that this process may use.
        memory_mib: all of it; None if the system does not tell.
        system: name and edition. kernel: its release. bits: of its programs.
        virtual: "emulated" where another processor computes in place of this one, "virtual machine" where it is a part
            of a larger one, "" for a computer of its own.
    """

    model: str
    processor: str
    architecture: str
    features: frozenset[str]
    cores: int
    memory_mib: int | None
    system: str
    kernel: str
    bits: int
    virtual: str


def read_text(path: Path) -> str:
    """A file of the system without zeros and space around it; "" if it cannot be read."""
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \t\r\n")
    return ""


def ask(*command: str) -> str:
    """What a program writes; "" if it is not there, or fails. Raises NoAnswerError."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise NoAnswerError(f"{command[0]}: expected an answer within {_TIMEOUT_S:.0f} s, got none") from error
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def describe_machine(root: Path = Path("/")) -> Machine:
    """Find out what this computer is. root: of the system's files."""
    cpu = _read_fields(root / "proc/cpuinfo")
    model = read_text(root / "proc/device-tree/model") or cpu.get("Model", "")
    maker = " ".join(read_text(root / f"sys/class/dmi/id/{name}") for name in ("sys_vendor", "product_name")).strip()
    names = [line for line in read_text(root / "etc/os-release").splitlines() if line.startswith("PRETTY_NAME=")]
    features = frozenset((cpu.get("Features") or cpu.get("flags") or "").split())
    return Machine(
        model=model or maker,
        processor=cpu.get("model name") or _ARM_PARTS.get(cpu.get("CPU part", ""), "") or "unknown processor",
        architecture=platform.machine(),
        features=features,
        cores=len(os.sched_getaffinity(0)),
        memory_mib=read_memory_mib(root).get("MemTotal"),
        system=names[0].partition("=")[2].strip('"') if names else "Linux",
        kernel=platform.release(),
        bits=8 * struct.calcsize("P"),
        virtual=_find_virtual(model or maker, features),
    )


def read_memory_mib(root: Path = Path("/")) -> dict[str, int]:
    """What /proc/meminfo tells, in MiB, by name; empty if it cannot be read."""
    rows = (line.split() for line in read_text(root / "proc/meminfo").splitlines())
    return {row[0].rstrip(":"): int(row[1]) // 1024 for row in rows if len(row) > 1 and row[1].isdecimal()}


def read_throttling() -> tuple[str, list[str]]:
    """What a Raspberry Pi says of under-voltage and heat: its number, "" elsewhere, and what holds now, in words."""
    said = ask("vcgencmd", "get_throttled").partition("=")[2]
    try:
        bits = int(said, 16)
    except ValueError:
        return "", []
    return said, [word for bit, word in _THROTTLING.items() if bits >> bit & 1]


def find_workers(root: Path = Path("/")) -> list[int]:
    """Ids of the worker processes of flight services that run here, whoever runs them. root: of the system's files."""
    found = []
    for folder in (root / "proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if "flight.service.worker" in (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0"):
                found.append(int(folder.name))
    return sorted(found)


def _read_fields(path: Path) -> dict[str, str]:
    """The fields of /proc/cpuinfo; of those that every core has, the last one's."""
    rows = (line.partition(":") for line in read_text(path).splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, _, value in rows}


def _find_virtual(model: str, features: frozenset[str]) -> str:
    # systemd says "qemu" where QEMU computes by itself, and "kvm" where the processor does it.
    kind = ask("systemd-detect-virt", "--vm")
    if kind == "qemu":
        return "emulated"
    if kind not in ("", "none") or "hypervisor" in features or "QEMU" in model or "dummy-virt" in model:
        return "virtual machine"
    return ""
