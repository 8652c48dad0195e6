"""ZeroMQ endpoints: what may be written as one, and folders whose paths are short enough to be one."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from pathlib import Path

from flight.schema import format_text

# Bytes of a path that the kernel takes for a socket (sun_path, without its terminating zero).
LONGEST_PATH = 107
FORM = "tcp://HOST:PORT or ipc://PATH"
# What mkdtemp puts behind a prefix.
_RANDOM_BYTES = 8
_NUMERIC = re.compile(r"[0-9.]+")
_HOST = re.compile(r"[A-Za-z0-9_.;%-]+")
# To bind to, these mean every address of the computer; to connect to, none.
_EVERY_ADDRESS = ("*", "0.0.0.0", "[::]")


def reachable(endpoint: str) -> str:
    """Where a client on this computer connects to what is bound to an endpoint."""
    for host in _EVERY_ADDRESS:
        endpoint = endpoint.replace(f"//{host}:", "//127.0.0.1:")
    return endpoint


class EndpointError(ValueError):
    """A text that is no endpoint; the message says what was expected and names it."""


def check_endpoint(endpoint: object, *, to_bind: bool = False) -> str:
    """Check a text before ZeroMQ gets it, which takes some wrong ones and never connects.

    Args:
        endpoint: tcp://HOST:PORT, HOST being a name, an IPv4 address or an IPv6 address in brackets; or ipc://PATH.
        to_bind: to bind to, where HOST may also stand for every address of the computer.

    Returns:
        The endpoint.

    Raises:
        EndpointError: it is not of this form, the port is none of 1..65535, or the path is too long for a socket.
    """
    if not isinstance(endpoint, str):
        raise _refuse(FORM, endpoint)
    scheme, separator, rest = endpoint.partition("://")
    if scheme not in ("tcp", "ipc") or not separator or not rest or rest != rest.strip() or not rest.isprintable():
        raise _refuse(FORM, endpoint)
    if scheme == "ipc":
        _check_path(rest, endpoint)
    else:
        _check_host_and_port(rest, endpoint, to_bind)
    return endpoint


def _refuse(expected: str, endpoint: object) -> EndpointError:
    return EndpointError(f"expected {expected}, got {format_text(repr(endpoint), 250)}")


def _check_path(path: str, endpoint: str) -> None:
    if path == "*":  # a path of ZeroMQ's own choice, which nobody would find
        raise _refuse(FORM, endpoint)
    size = len(os.fsencode(path))
    if size > LONGEST_PATH:
        raise _refuse(f"ipc://PATH with a path of at most {LONGEST_PATH} bytes, not {size}", endpoint)


def _check_host_and_port(rest: str, endpoint: str, to_bind: bool) -> None:
    host, _, port = rest.rpartition(":")
    if not host or not _is_host(host):
        raise _refuse(FORM, endpoint)
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise _refuse("a port of 1..65535 in tcp://HOST:PORT", endpoint)
    if host in _EVERY_ADDRESS and not to_bind:
        raise _refuse("the service's own address in tcp://HOST:PORT", endpoint)


def _is_host(host: str) -> bool:
    if host == "*":
        return True
    if host.startswith("[") and host.endswith("]"):
        address, _, zone = host[1:-1].partition("%")
        return _is_address(socket.AF_INET6, address) and ("%" not in host or _HOST.fullmatch(zone) is not None)
    if _NUMERIC.fullmatch(host):
        return _is_address(socket.AF_INET, host)
    return _HOST.fullmatch(host) is not None


def _is_address(family: int, text: str) -> bool:
    try:
        socket.inet_pton(family, text)
    except OSError:
        return False
    return True


def make_socket_folder(prefix: str, longest_name: int) -> tempfile.TemporaryDirectory[str]:
    """Make a temporary folder for sockets, for its owner alone. Where TMPDIR is too long a path for that, another one.

    Args:
        prefix: of the folder's name.
        longest_name: bytes of the longest name that a socket in it gets.

    Returns:
        The folder, which is removed with the object.

    Raises:
        OSError: there is no folder to make it in, or every one has too long a path.
    """
    room = LONGEST_PATH - len(prefix) - _RANDOM_BYTES - longest_name - 2
    configured = tempfile.gettempdir()
    for parent in (configured, os.environ.get("XDG_RUNTIME_DIR", ""), "/run", "/tmp", "/var/tmp", "/dev/shm"):
        if Path(parent).is_absolute() and len(os.fsencode(parent)) <= room:
            try:
                return tempfile.TemporaryDirectory(prefix=prefix, dir=parent)
            except OSError as error:
                if parent == configured:
                    raise OSError(error.errno, error.strerror, parent) from error
    raise OSError(f"TMPDIR: expected a path of at most {room} bytes for sockets, got {configured}")
