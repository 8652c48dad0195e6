"""The service's configuration: a TOML file, every value checked."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flight.icd.limits import DEFAULT_ENDPOINTS
from flight.keys import KeyFileError, ServiceKeys, load_service_keys
from flight.schema import SchemaError, check, load_schema
from flight.service.supervision import Patience

_SCHEMA = load_schema("flight.schemas", "configuration")


class ConfigurationError(ValueError):
    """A configuration that cannot be used; the message names the file and the field."""


@dataclass(frozen=True)
class Configuration:
    """Everything that the service is told at start.

    parameters: overrides of the bundle's and the defaults. state: folder for what must survive a restart. uplink:
    folder from which load_bundle may read. restart_limit: worker restarts in restart_window_s seconds before the safe
    state. file_check_interval_s: between two re-readings of the bundle's files; 0: never.
    """

    endpoints: dict[str, str] = field(default_factory=lambda: dict(DEFAULT_ENDPOINTS))
    parameters: dict[str, Any] = field(default_factory=dict)
    threads: int = 2
    base_seed: int = 0
    patience: Patience = field(default_factory=Patience)
    restart_limit: int = 5
    restart_window_s: float = 60.0
    state: Path | None = None
    uplink: Path | None = None
    keys: ServiceKeys | None = None
    frames_per_second: float = 1000.0
    commands_per_second: float = 100.0
    file_check_interval_s: float = 300.0


def load_configuration(path: Path | None) -> Configuration:
    """Read a TOML configuration; None gives the defaults.

    Raises ConfigurationError naming the file and the field: `flight.toml: parameters.passes: expected 1..100,
    got 0`.
    """
    if path is None:
        return Configuration()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: no TOML ({error})") from error
    try:
        for section, content in table.items():
            known = _SCHEMA["properties"]
            if section not in known:
                raise SchemaError(section, f"one of {', '.join(known)}", content)
            check(content, known[section], section)
    except SchemaError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    inference, worker, storage = (table.get(name, {}) for name in ("inference", "worker", "storage"))
    security, limits, integrity = (table.get(name, {}) for name in ("security", "limits", "integrity"))
    default = Configuration()
    if "bundles" in storage and "state" not in storage:
        raise ConfigurationError(f"{path}: storage.state: expected a folder to copy bundles of storage.bundles to")
    configuration = Configuration(
        endpoints={**DEFAULT_ENDPOINTS, **table.get("endpoints", {})},
        parameters=table.get("parameters", {}),
        threads=inference.get("threads", default.threads),
        base_seed=inference.get("base_seed", default.base_seed),
        patience=Patience(
            start_s=worker.get("start_timeout_s", default.patience.start_s),
            answer_s=worker.get("answer_timeout_s", default.patience.answer_s),
            hang_s=worker.get("hang_timeout_s", default.patience.hang_s),
            factor=worker.get("hang_factor", default.patience.factor),
        ),
        restart_limit=worker.get("restart_limit", default.restart_limit),
        restart_window_s=worker.get("restart_window_s", default.restart_window_s),
        state=Path(storage["state"]) if "state" in storage else None,
        uplink=Path(storage["bundles"]) if "bundles" in storage else None,
        keys=_load_keys(path, Path(security["keys"])) if "keys" in security else None,
        frames_per_second=limits.get("frames_per_second", default.frames_per_second),
        commands_per_second=limits.get("commands_per_second", default.commands_per_second),
        file_check_interval_s=integrity.get("file_check_interval_s", default.file_check_interval_s),
    )
    check_endpoints(configuration, str(path))
    return configuration


def _load_keys(path: Path, folder: Path) -> ServiceKeys:
    try:
        return load_service_keys(folder)
    except (KeyFileError, OSError) as error:
        raise ConfigurationError(f"{path}: security.keys: {error}") from error


def check_endpoints(configuration: Configuration, where: str) -> None:
    """Refuse endpoints that strangers could reach without keys, and two sockets on one endpoint."""
    endpoints = configuration.endpoints
    if len(set(endpoints.values())) != len(endpoints):
        raise ConfigurationError(f"{where}: endpoints: expected four different ones, got {endpoints}")
    for name, endpoint in endpoints.items():
        if endpoint.startswith("ipc://"):
            continue
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        if not port.isdecimal() or not 1 <= int(port) <= 65535:
            raise ConfigurationError(f"{where}: endpoints.{name}: port: expected 1..65535, got {port}")
        if configuration.keys is None and not (host in ("localhost", "[::1]") or _is_loopback_v4(host)):
            raise ConfigurationError(
                f"{where}: endpoints.{name}: expected ipc:// or a loopback address, got {endpoint}: beyond "
                "loopback anyone could send frames and commands; make keys with `flight keys` and name them in "
                "security.keys"
            )


def _is_loopback_v4(host: str) -> bool:
    octets = host.split(".")
    return (
        len(octets) == 4
        and octets[0] == "127"
        and all(octet.isascii() and octet.isdecimal() and int(octet) <= 255 for octet in octets)
    )
