"""A network link that a run makes for itself: the service's end in a network namespace, ours outside."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hil.scenarios.fault_tables import LinkImpaired

_PREFIX = "rmhil"
# Of a documentation range (RFC 5737): no real network has it.
_OUR_ADDRESS, _SERVICE_ADDRESS = "192.0.2.1", "192.0.2.2"
_RIGHTS = "the right to make network namespaces (root, or CAP_NET_ADMIN and CAP_SYS_ADMIN)"
# Of tbf: what may be sent at once, and wait.
_BURST, _WAIT = "32kbit", "400ms"


class LinkError(RuntimeError):
    """The link cannot be made or changed; the message says what right or part of the system is missing."""


@dataclass(frozen=True)
class Link:
    """A link under way.

    Attributes:
        namespace: of the service's end.
        device: our end.
    """

    namespace: str
    device: str

    @property
    def host(self) -> str:
        """The service's address."""
        return _SERVICE_ADDRESS

    def command(self, command: list[str]) -> list[str]:
        """A command line that runs a program behind the link."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def cut(self) -> None:
        """Take the link down."""
        _run("ip", "link", "set", self.device, "down")

    def restore(self) -> None:
        """Bring the link up again, without impairments."""
        _run("ip", "link", "set", self.device, "up")
        with suppress(LinkError):  # there is none to remove
            _run("tc", "qdisc", "del", "dev", self.device, "root")
        with suppress(LinkError):
            _run(*self.command(["tc", "qdisc", "del", "dev", self.device, "root"]))

    def impair(self, fault: LinkImpaired) -> None:
        """Make the link bad, both ways.

        Raises:
            LinkError: the kernel has not what it needs.
        """
        discipline = describe_discipline(fault)
        for prefix in ([], self.command([])):
            _run(*prefix, "tc", "qdisc", "replace", "dev", self.device, "root", *discipline)


def describe_discipline(fault: LinkImpaired) -> list[str]:
    """The arguments of tc for an impairment: netem, or tbf where the rate alone is limited, which more kernels have."""
    rate = f"{fault.rate_kbit:g}kbit"
    if not fault.delay_ms and not fault.loss:
        return ["tbf", "rate", rate, "burst", _BURST, "latency", _WAIT]
    words = ["netem"]
    if fault.delay_ms:
        words += ["delay", f"{fault.delay_ms:g}ms"]
    if fault.jitter_ms:
        words.append(f"{fault.jitter_ms:g}ms")
    if fault.loss:
        words += ["loss", f"{100.0 * fault.loss:g}%"]
    if fault.reordered:
        words += ["reorder", f"{100.0 * fault.reordered:g}%"]
    if fault.rate_kbit:
        words += ["rate", rate]
    return words


def check_impairment(fault: LinkImpaired, link: Link) -> None:
    """Try an impairment, and take it away, before a run begins. Raises LinkError."""
    try:
        link.impair(fault)
    finally:
        link.restore()


@contextmanager
def open_link() -> Iterator[Link]:
    """Make a link, and remove it at the end. What runs that were killed have left is removed, too.

    Raises:
        LinkError: the rights for it are missing, or iproute2 is.
    """
    remove_abandoned()
    name = f"{_PREFIX}{os.getpid()}"
    link = Link(name, f"{name[:13]}v")
    try:
        _run("ip", "netns", "add", name)
        # Both ends have one name, each in its namespace.
        _run("ip", "link", "add", link.device, "type", "veth", "peer", "name", link.device, "netns", name)
        _run("ip", "addr", "add", f"{_OUR_ADDRESS}/30", "dev", link.device)
        _run("ip", "link", "set", link.device, "up")
        inside = ["ip", "-n", name]
        _run(*inside, "addr", "add", f"{_SERVICE_ADDRESS}/30", "dev", link.device)
        _run(*inside, "link", "set", link.device, "up")
        _run(*inside, "link", "set", "lo", "up")
        yield link
    finally:
        _remove(name, link.device)


def remove_abandoned() -> None:
    """Remove the namespaces of runs whose process is no more."""
    folder = Path("/run/netns")
    names = sorted(path.name for path in folder.glob(f"{_PREFIX}*")) if folder.is_dir() else []
    for name in names:
        match = re.fullmatch(rf"{_PREFIX}(\d+)", name)
        if match and not Path("/proc", match[1]).exists():
            _remove(name, f"{name[:13]}v")


def _remove(name: str, device: str) -> None:
    for command in (["ip", "link", "del", device], ["ip", "netns", "del", name]):
        with suppress(LinkError):  # not all of it may be there
            _run(*command)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except FileNotFoundError as error:
        raise LinkError(f"link: expected the program {command[0]} (iproute2), got none") from error
    if done.returncode == 0:
        return
    said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    if "permitted" in said or "ermission" in said or os.geteuid() != 0:
        raise LinkError(f"link: expected {_RIGHTS}, got user {os.geteuid()}: {said}")
    if "qdisc" in command and "unknown" in said:
        kind = "netem" if "netem" in command else "tbf"
        raise LinkError(f"link: expected the kernel's queueing discipline {kind} (module sch_{kind}), got none: {said}")
    raise LinkError(f"link: {' '.join(command)}: {said}")
