"""Reads the service's configuration, a TOML file, and checks every value."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flight.endpoints import EndpointError, check_endpoint
from flight.keys import KeyFileError, ServiceKeys, load_service_keys
from flight.schema import SchemaError, check
from flight.service.fields import SECTIONS


class ConfigurationError(ValueError):
    """A configuration that cannot be used; the message names the file and the field."""


@dataclass(frozen=True)
class InferenceSection:
    """[inference]"""

    threads: int
    base_seed: int


@dataclass(frozen=True)
class WorkerSection:
    """[worker].

    Attributes:
        accelerator: "none" for the processor.
        configured: names of the fields that the file gives; the others are defaults.
    """

    start_timeout_s: float
    answer_timeout_s: float
    hang_timeout_s: float
    hang_factor: float
    restart_limit: int
    restart_window_s: float
    memory_check_share: float
    accelerator: str
    configured: frozenset[str]


@dataclass(frozen=True)
class StorageSection:
    """[storage]; None: the folder is not configured."""

    state: Path | None
    bundles: Path | None


@dataclass(frozen=True)
class SecuritySection:
    """[security]. keys: those in the folder that the field names, None without keys."""

    keys: ServiceKeys | None


@dataclass(frozen=True)
class LimitsSection:
    """[limits]"""

    frames_per_second: float
    commands_per_second: float


@dataclass(frozen=True)
class IntegritySection:
    """[integrity]"""

    file_check_interval_s: float


@dataclass(frozen=True)
class Configuration:
    """What the service is configured with at start, named as in the file.

    What each field means is in flight/schemas/configuration.json, with its default and limits.

    Attributes:
        endpoints: by socket.
        parameters: only those that the file gives; they override the bundle's and the defaults.
    """

    endpoints: dict[str, str]
    parameters: dict[str, Any]
    inference: InferenceSection
    worker: WorkerSection
    storage: StorageSection
    security: SecuritySection
    limits: LimitsSection
    integrity: IntegritySection


def load_configuration(path: Path | None) -> Configuration:
    """Read a TOML configuration.

    Args:
        path: of the file; None for the defaults.

    Raises:
        ConfigurationError: names the file and the field: `flight.toml: parameters.passes: expected 1..100, got 0`.
    """
    if path is None:
        return _build_configuration({}, "defaults")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: no TOML ({error})") from error
    try:
        for section, content in table.items():
            if section not in SECTIONS:
                raise SchemaError(section, f"one of {', '.join(SECTIONS)}", content)
            check(content, SECTIONS[section], section)
    except SchemaError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return _build_configuration(table, str(path))


def _build_configuration(table: dict[str, dict[str, Any]], where: str) -> Configuration:
    """Build the configuration from a checked table and the defaults. where: the file, for messages."""
    filled = {
        section: {name: field.get("default") for name, field in content["properties"].items()} | table.get(section, {})
        for section, content in SECTIONS.items()
    }
    folders = {name: None if value is None else Path(value) for name, value in filled["storage"].items()}
    if folders["bundles"] is not None and folders["state"] is None:
        raise ConfigurationError(f"{where}: storage.state: expected a folder, needed by storage.bundles, got none")
    keys = filled["security"]["keys"]
    configuration = Configuration(
        endpoints=filled["endpoints"],
        parameters=table.get("parameters", {}),
        inference=InferenceSection(**filled["inference"]),
        worker=WorkerSection(**filled["worker"], configured=frozenset(table.get("worker", {}))),
        storage=StorageSection(**folders),
        security=SecuritySection(None if keys is None else _load_keys(where, Path(keys))),
        limits=LimitsSection(**filled["limits"]),
        integrity=IntegritySection(**filled["integrity"]),
    )
    check_endpoints(configuration, where)
    return configuration


def _load_keys(where: str, folder: Path) -> ServiceKeys:
    try:
        return load_service_keys(folder)
    except (KeyFileError, OSError) as error:
        raise ConfigurationError(f"{where}: security.keys: {error}") from error


def check_endpoints(configuration: Configuration, where: str) -> None:
    """Reject what is no endpoint, endpoints that anyone could reach without keys, and two sockets on one endpoint.

    Raises:
        ConfigurationError: names the file `where` and the field.
    """
    endpoints = configuration.endpoints
    for name, endpoint in endpoints.items():
        try:
            check_endpoint(endpoint, to_bind=True)
        except EndpointError as error:
            raise ConfigurationError(f"{where}: endpoints.{name}: {error}") from error
        if endpoint.startswith("ipc://"):
            continue
        host = endpoint.removeprefix("tcp://").rpartition(":")[0]
        if configuration.security.keys is None and not (host in ("localhost", "[::1]") or _is_loopback_v4(host)):
            raise ConfigurationError(
                f"{where}: endpoints.{name}: expected ipc:// or a loopback address, got {endpoint}: beyond "
                "loopback anyone could send frames and commands; make keys with `flight keys` and name them in "
                "security.keys"
            )
    if len(set(endpoints.values())) != len(endpoints):
        raise ConfigurationError(f"{where}: endpoints: expected four different ones, got {endpoints}")


def _is_loopback_v4(host: str) -> bool:
    octets = host.split(".")
    return (
        len(octets) == 4
        and octets[0] == "127"
        and all(octet.isascii() and octet.isdecimal() and int(octet) <= 255 for octet in octets)
    )
