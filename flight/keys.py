"""CURVE keys: folders of ZeroMQ certificates for the service and its clients.

The service's folder holds service.key and service.key_secret, and for each client role a folder of the public keys
allowed in it. A client's folder holds its own pair, client.key and client.key_secret, and the service's public key.
Client roles: a camera sends frames, a consumer receives products and telemetry, a commander sends commands.
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

from flight.files import write_whole
from flight.icd.catalogue import SOCKETS

# Client role -> folder of the public keys allowed in it.
ROLES = {"camera": "cameras", "consumer": "consumers", "commander": "commanders"}
# Socket -> client role that may connect to it.
SOCKET_ROLES = {name: socket.client for name, socket in SOCKETS.items()}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class KeyFileError(ValueError):
    """A key is missing, malformed or readable by others; the message names the file."""


@dataclass(frozen=True)
class ServiceKeys:
    """Keys as the service uses them.

    Attributes:
        public: of the service, Z85 text.
        secret: of the service, Z85 text.
        allowed: client role -> public key (Z85 text) -> name of the client.
    """

    public: bytes
    secret: bytes
    allowed: dict[str, dict[bytes, str]]


@dataclass(frozen=True)
class ClientKeys:
    """Keys as a client uses them, Z85 text.

    Attributes:
        public: of the client.
        secret: of the client.
        service: public key of the service.
    """

    public: bytes
    secret: bytes
    service: bytes


def make_service_keys(folder: Path) -> None:
    """Make the service's pair and empty allow-lists.

    Args:
        folder: the service's folder; created with mode 700.

    Raises:
        KeyFileError: the folder already has a pair.
    """
    if (folder / "service.key_secret").exists():
        raise KeyFileError(f"{folder / 'service.key_secret'}: exists; making another would lock out every client")
    _make_pair(folder, "service")
    for name in ROLES.values():
        (folder / name).mkdir(mode=0o700, exist_ok=True)


def make_client_keys(folder: Path, name: str, roles: Sequence[str], out: Path) -> None:
    """Make a client's folder, and allow its key in some client roles.

    Args:
        folder: the service's folder.
        name: of the client, 1..64 letters, digits, - and _; the service's events name it.
        roles: client roles, keys of ROLES.
        out: the client's folder; created with mode 700.

    Raises:
        KeyFileError: a name or role that is not allowed, a key that exists already, or no key of the service.
    """
    if _NAME.fullmatch(name) is None:
        raise KeyFileError(f"name: expected 1..64 letters, digits, - and _, got {name!r}")
    for role in roles:
        if role not in ROLES:
            raise KeyFileError(f"role: expected {' | '.join(ROLES)}, got {role}")
        if (folder / ROLES[role] / f"{name}.key").exists():
            raise KeyFileError(f"{folder / ROLES[role] / f'{name}.key'}: exists; remove it to withdraw that key")
    service = _load_public_key(folder / "service.key")
    if (out / "client.key_secret").exists():
        raise KeyFileError(f"{out / 'client.key_secret'}: exists")
    _make_pair(out, "client")
    public = (out / "client.key").read_text(encoding="utf-8")
    for role in roles:
        (folder / ROLES[role]).mkdir(mode=0o700, exist_ok=True)
        write_whole(folder / ROLES[role] / f"{name}.key", public.encode("utf-8"))
    write_whole(out / "service.key", f'curve\n    public-key = "{service.decode("ascii")}"\n'.encode("ascii"))


def load_service_keys(folder: Path) -> ServiceKeys:
    """Read the service's folder.

    Raises:
        KeyFileError: a key is missing or malformed, or the secret key is readable by others.
    """
    public, secret = _load_pair(folder / "service.key_secret")
    allowed = {
        role: {_load_public_key(path): path.stem for path in sorted((folder / name).glob("*.key"))}
        for role, name in ROLES.items()
    }
    return ServiceKeys(public, secret, allowed)


def load_client_keys(folder: Path) -> ClientKeys:
    """Read a client's folder.

    Raises:
        KeyFileError: a key is missing or malformed, or the secret key is readable by others.
    """
    public, secret = _load_pair(folder / "client.key_secret")
    return ClientKeys(public, secret, _load_public_key(folder / "service.key"))


def _make_pair(folder: Path, name: str) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = os.umask(0o077)
    try:
        zmq.auth.create_certificates(folder, name)
    finally:
        os.umask(before)


def _load_pair(path: Path) -> tuple[bytes, bytes]:
    public, secret = _load_certificate(path)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(f"{path}: expected to be readable by its owner alone: chmod 600 {path}")
    if secret is None or not _is_key(secret):
        raise KeyFileError(f"{path}: expected a secret key of 40 characters Z85")
    return public, secret


def _load_public_key(path: Path) -> bytes:
    return _load_certificate(path)[0]


def _load_certificate(path: Path) -> tuple[bytes, bytes | None]:
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
