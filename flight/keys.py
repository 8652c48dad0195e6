"""CURVE keys: folders of ZeroMQ certificates for the service and its clients.

The service's folder holds service.key and service.key_secret, and per role a folder of the public keys that may act
in it. A client's folder holds its own pair, client.key and client.key_secret, and the service's public key. Roles:
a camera sends frames, a consumer receives products and telemetry, a commander sends commands.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import zmq
import zmq.auth
from zmq.utils import z85

from flight.icd.catalogue import SOCKETS

ROLES = {"camera": "cameras", "consumer": "consumers", "commander": "commanders"}
SOCKET_ROLES = {name: socket.client for name, socket in SOCKETS.items()}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class KeyFileError(ValueError):
    """Keys that are missing, malformed or readable by others; the message names the file."""


@dataclass(frozen=True)
class ServiceKeys:
    """The service's pair (Z85 text), and the clients allowed in each role: public key (Z85) -> name."""

    public: bytes
    secret: bytes
    allowed: dict[str, dict[bytes, str]]


@dataclass(frozen=True)
class ClientKeys:
    """A client's pair and the service's public key, Z85 text."""

    public: bytes
    secret: bytes
    service: bytes


def make_service_keys(folder: Path) -> None:
    """Make the service's pair and empty allow-lists. Raises KeyFileError when there is a pair already."""
    if (folder / "service.key_secret").exists():
        raise KeyFileError(f"{folder / 'service.key_secret'}: exists; making another would lock out every client")
    _make_pair(folder, "service")
    for name in ROLES.values():
        (folder / name).mkdir(mode=0o700, exist_ok=True)


def make_client_keys(folder: Path, name: str, roles: Sequence[str], out: Path) -> None:
    """Make a client's folder `out`, and allow its key in the given roles. Raises KeyFileError."""
    if _NAME.fullmatch(name) is None:
        raise KeyFileError(f"name: expected 1..64 letters, digits, - and _, got {name!r}")
    for role in roles:
        if role not in ROLES:
            raise KeyFileError(f"role: expected {' | '.join(ROLES)}, got {role}")
        if (folder / ROLES[role] / f"{name}.key").exists():
            raise KeyFileError(f"{folder / ROLES[role] / f'{name}.key'}: exists; remove it to withdraw that key")
    service = _public(folder / "service.key")
    if (out / "client.key_secret").exists():
        raise KeyFileError(f"{out / 'client.key_secret'}: exists")
    _make_pair(out, "client")
    public = (out / "client.key").read_text(encoding="utf-8")
    for role in roles:
        (folder / ROLES[role]).mkdir(mode=0o700, exist_ok=True)
        (folder / ROLES[role] / f"{name}.key").write_text(public, encoding="utf-8")
    (out / "service.key").write_text(f'curve\n    public-key = "{service.decode("ascii")}"\n', encoding="ascii")


def load_service_keys(folder: Path) -> ServiceKeys:
    """Read the service's folder. Raises KeyFileError."""
    public, secret = _pair(folder / "service.key_secret")
    allowed = {
        role: {_public(path): path.stem for path in sorted((folder / name).glob("*.key"))}
        for role, name in ROLES.items()
    }
    return ServiceKeys(public, secret, allowed)


def load_client_keys(folder: Path) -> ClientKeys:
    """Read a client's folder. Raises KeyFileError."""
    public, secret = _pair(folder / "client.key_secret")
    return ClientKeys(public, secret, _public(folder / "service.key"))


def _make_pair(folder: Path, name: str) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = os.umask(0o077)
    try:
        zmq.auth.create_certificates(folder, name)
    finally:
        os.umask(before)


def _pair(path: Path) -> tuple[bytes, bytes]:
    public, secret = _load(path)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(f"{path}: expected to be readable by its owner alone: chmod 600 {path}")
    if secret is None or not _is_key(secret):
        raise KeyFileError(f"{path}: expected a secret key of 40 characters Z85")
    return public, secret


def _public(path: Path) -> bytes:
    return _load(path)[0]


def _load(path: Path) -> tuple[bytes, bytes | None]:
    try:
        public, secret = zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path}: no CURVE certificate ({error})") from error
    if not _is_key(public):
        raise KeyFileError(f"{path}: expected a public key of 40 characters Z85, got {len(public)} characters")
    return public, secret


def _is_key(text: bytes) -> bool:
    try:
        return len(text) == 40 and len(z85.decode(text)) == 32
    except (KeyError, struct.error):
        return False
