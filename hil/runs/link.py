"""A network link that a run makes for itself: the service's end in a network namespace, ours outside."""

from __future__ import annotations

import ipaddress
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hil.scenarios.fault_tables import LinkImpaired

_PREFIX = "rmhil"
# For measurements between devices (RFC 2544): no network of the internet has it. A part of it that no route of this
# computer leads to is taken, so that nothing else loses its way.
_ADDRESSES = ipaddress.IPv4Network("198.18.0.0/15")
_LINK_BITS = 30
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
        host: the service's address.
    """

    namespace: str
    device: str
    host: str

    def command(self, command: list[str]) -> list[str]:
        """A command line that runs a program behind the link."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def cut(self) -> None:
        """Take the link down: at its far end, as without ours packets would find another way."""
        _run("ip", "-n", self.namespace, "link", "set", self.device, "down")

    def restore(self) -> None:
        """Bring the link up again, without impairments."""
        _run("ip", "-n", self.namespace, "link", "set", self.device, "up")
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
    ours, theirs = choose_addresses(_list_networks(), os.getpid())
    link = Link(name, f"{name[:13]}v", theirs)
    try:
        _run("ip", "netns", "add", name)
        # Both ends have one name, each in its namespace.
        _run("ip", "link", "add", link.device, "type", "veth", "peer", "name", link.device, "netns", name)
        _run("ip", "addr", "add", f"{ours}/{_LINK_BITS}", "dev", link.device)
        _run("ip", "link", "set", link.device, "up")
        inside = ["ip", "-n", name]
        _run(*inside, "addr", "add", f"{theirs}/{_LINK_BITS}", "dev", link.device)
        _run(*inside, "link", "set", link.device, "up")
        _run(*inside, "link", "set", "lo", "up")
        yield link
    finally:
        _remove(name, link.device)


def choose_addresses(taken: Sequence[ipaddress.IPv4Network], number: int) -> tuple[str, str]:
    """Addresses for the two ends of a link, ours first.

    Args:
        taken: networks that this computer has addresses in or routes to.
        number: of the process: two at once try different ones first.

    Raises:
        LinkError: all are taken.
    """
    size = 1 << (_ADDRESSES.max_prefixlen - _LINK_BITS)
    count = _ADDRESSES.num_addresses // size
    for offset in range(count):
        part = ipaddress.IPv4Network((int(_ADDRESSES[0]) + size * ((number + offset) % count), _LINK_BITS))
        if not any(part.overlaps(network) for network in taken):
            ours, theirs = part.hosts()
            return str(ours), str(theirs)
    raise LinkError(f"link: expected free addresses in {_ADDRESSES}, got none")


def _list_networks() -> list[ipaddress.IPv4Network]:
    """The networks that this computer has addresses in or routes to, but for the default route."""
    words = f"{_run('ip', '-o', '-4', 'addr')} {_run('ip', '-4', 'route', 'show', 'table', 'all')}".split()
    networks = []
    for word in words:
        with suppress(ValueError):  # another word
            networks.append(ipaddress.IPv4Network(word, strict=False))
    return networks


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


def _run(*command: str) -> str:
    """Run a command; returns what it wrote. Raises LinkError."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except FileNotFoundError as error:
        raise LinkError(f"link: expected the program {command[0]} (iproute2), got none") from error
    if done.returncode == 0:
        return done.stdout
    said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    if "permitted" in said or "ermission" in said or os.geteuid() != 0:
        raise LinkError(f"link: expected {_RIGHTS}, got user {os.geteuid()}: {said}")
    if "qdisc" in command and "unknown" in said:
        kind = "netem" if "netem" in command else "tbf"
        raise LinkError(f"link: expected the kernel's queueing discipline {kind} (module sch_{kind}), got none: {said}")
    raise LinkError(f"link: {' '.join(command)}: {said}")
