"""The service's configuration: a TOML file, every value checked; and the parameters that commands may change."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from flight.bundle import Bundle
from flight.icd.limits import DEFAULT_ENDPOINTS
from flight.inference.engine import Settings
from flight.schema import SchemaError, check, load_schema

_SCHEMA = load_schema("flight.schemas", "configuration")
PARAMETER_SCHEMAS: dict[str, Any] = _SCHEMA["properties"]["parameters"]["properties"]


class ConfigurationError(ValueError):
    """A configuration that cannot be used; the message names the file and the field."""


@dataclass(frozen=True)
class Configuration:
    """Everything that the service is told at start. parameters: overrides of the bundle's and the defaults."""

    endpoints: dict[str, str] = field(default_factory=lambda: dict(DEFAULT_ENDPOINTS))
    parameters: dict[str, Any] = field(default_factory=dict)
    threads: int = 2
    base_seed: int = 0
    start_timeout_s: float = 60.0
    answer_timeout_s: float = 60.0


@dataclass(frozen=True)
class Parameters:
    """The parameters of the ICD, and the mode."""

    mode: str
    passes: int
    gamma: float
    uncertainty_threshold: float
    deadline_ms: int = 0
    minimum_passes: int = 1
    publish_full: bool = False
    centering: str = "auto"

    def settings(self) -> Settings:
        """What the engine needs of them."""
        return Settings(
            mode=self.mode,
            passes=self.passes,
            gamma=self.gamma,
            uncertainty_threshold=self.uncertainty_threshold,
            deadline_ms=self.deadline_ms,
            minimum_passes=self.minimum_passes,
            centering=self.centering,
        )

    def values(self) -> dict[str, Any]:
        """The parameters by name, without the mode."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "mode"}


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
    inference, worker = table.get("inference", {}), table.get("worker", {})
    configuration = Configuration(
        endpoints={**DEFAULT_ENDPOINTS, **table.get("endpoints", {})},
        parameters=table.get("parameters", {}),
        threads=inference.get("threads", 2),
        base_seed=inference.get("base_seed", 0),
        start_timeout_s=float(worker.get("start_timeout_s", 60.0)),
        answer_timeout_s=float(worker.get("answer_timeout_s", 60.0)),
    )
    check_endpoints(configuration.endpoints, str(path))
    return configuration


def check_endpoints(endpoints: dict[str, str], where: str) -> None:
    """Refuse endpoints that strangers could reach, and two sockets on one endpoint.

    A TCP endpoint beyond loopback needs CURVE keys and allow-lists, which this version does not have yet.
    """
    if len(set(endpoints.values())) != len(endpoints):
        raise ConfigurationError(f"{where}: endpoints: expected four different ones, got {endpoints}")
    for name, endpoint in endpoints.items():
        if endpoint.startswith("ipc://"):
            continue
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        if not port.isdecimal() or not 1 <= int(port) <= 65535:
            raise ConfigurationError(f"{where}: endpoints.{name}: port: expected 1..65535, got {port}")
        if not (host in ("localhost", "[::1]") or _is_loopback_v4(host)):
            raise ConfigurationError(
                f"{where}: endpoints.{name}: expected ipc:// or a loopback address, got {endpoint}: beyond "
                "loopback anyone could send frames and commands, and this version has no CURVE keys to stop them"
            )


def _is_loopback_v4(host: str) -> bool:
    octets = host.split(".")
    return (
        len(octets) == 4
        and octets[0] == "127"
        and all(octet.isascii() and octet.isdecimal() and int(octet) <= 255 for octet in octets)
    )


def initial_parameters(bundle: Bundle, overrides: dict[str, Any]) -> Parameters:
    """The bundle's defaults, overridden by the configuration."""
    parameters = Parameters(
        mode=bundle.modes[0],
        passes=bundle.passes,
        gamma=bundle.gamma,
        uncertainty_threshold=bundle.uncertainty_threshold,
    )
    return replace(parameters, **overrides)


def with_parameter(parameters: Parameters, name: str, value: Any) -> Parameters:
    """The parameters with one changed. Raises KeyError for an unknown name, SchemaError for a bad value."""
    schema = PARAMETER_SCHEMAS[name]
    check(value, schema, name)
    if schema.get("type") == "number":
        value = float(value)
    return replace(parameters, **{name: value})
