"""Addresses of ground systems, as options of a command line."""

from __future__ import annotations

import argparse
import ipaddress
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, cast

_FORM = "tcp://HOST:PORT or udp://HOST:PORT"


@dataclass(frozen=True)
class GroundAddress:
    """Where telemetry goes, or telecommands come from."""

    scheme: Literal["tcp", "udp"]
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def telemetry_address(text: str) -> GroundAddress:
    """Read the address of telemetry: of TCP one to listen at, on loopback; of UDP any to send to."""
    address = _read(text)
    return address if address.scheme == "udp" and address.port else _check_local(address, text)


def telecommand_address(text: str) -> GroundAddress:
    """Read the address to listen at for telecommands: on loopback, as telecommands carry no keys and the bridge has."""
    return _check_local(_read(text), text)


def _read(text: str) -> GroundAddress:
    scheme, separator, rest = text.partition("://")
    host, _, port = rest.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if scheme not in ("tcp", "udp") or not separator or not host or not port.isascii() or not port.isdigit():
        raise argparse.ArgumentTypeError(f"expected {_FORM}, got {text!r}")
    if int(port) > 65535:
        raise argparse.ArgumentTypeError(f"expected a port of 0..65535, got {port}")
    return GroundAddress(cast(Literal["tcp", "udp"], scheme), host, int(port))


def _check_local(address: GroundAddress, text: str) -> GroundAddress:
    local = address.host == "localhost"
    with suppress(ValueError):
        local = local or ipaddress.ip_address(address.host).is_loopback
    if not local:
        raise argparse.ArgumentTypeError(f"expected a loopback address, got {text}")
    return address
